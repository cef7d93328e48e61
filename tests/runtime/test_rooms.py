"""The runtime as a house: a room imports only rooms below it, and no two modules import each other in a circle.

Read off every import that is written, those for types alone and those inside of functions too.
"""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import latentrt

# From the ground up: modules and folders of `latentrt`, whose face is its `__init__`.
ROOMS = (
    "_version",
    "errors",
    "checks",
    "lock",
    "moves",
    "claim",
    "signatures",
    "files",
    "noise",
    "schedule",
    "samplers",
    "networks",
    "models",
    "engine",
    "text",
    "pictures",
    "painting",
    "pipeline",
    "preview",
    "__init__",
    "cli",
    "__main__",
)
SOURCE = Path(latentrt.__file__).parent
# What the command line opens only when a command asks for it.
OPTIONAL = {"latentrt_export", "latentrt_bench"}


def name_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(SOURCE.rglob("*.py"))}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def imported(package: str, tree: ast.AST) -> Iterator[str]:
    """The modules that source code of a package imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                inside = f"{base}.{alias.name}"
                yield inside if inside in MODULES else base


def imports_of(module: str) -> set[str]:
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return set(imported(package, ast.parse(path.read_text(encoding="utf-8"))))


IMPORTS = {module: imports_of(module) for module in MODULES}


@pytest.mark.parametrize(
    ("package", "code", "names"),
    [
        ("latentrt.text", "import latentrt.errors", {"latentrt.errors"}),
        ("latentrt.text", "from latentrt.pictures import images", {"latentrt.pictures.images"}),
        ("latentrt.text", "from latentrt.pipeline import load, Pipeline", {"latentrt.pipeline"}),
        ("latentrt.text", "from . import tokenizer", {"latentrt.text.tokenizer"}),
        ("latentrt.text", "from ..errors import InputError", {"latentrt.errors"}),
        ("latentrt", "if TYPE_CHECKING:\n  from latentrt.cli import main", {"latentrt.cli.main"}),
        ("latentrt", "def f():\n  import latentrt.files as files", {"latentrt.files"}),
    ],
)
def test_every_way_to_import_is_read(package, code, names):
    assert set(imported(package, ast.parse(code))) == names


def test_a_room_imports_only_rooms_below_it():
    assert {room_of(module) for module in MODULES} <= set(ROOMS)
    upward = [
        f"{module} imports {name}"
        for module, names in IMPORTS.items()
        for name in names & MODULES.keys()
        if ROOMS.index(room_of(name)) > ROOMS.index(room_of(module))
    ]
    assert not upward, "\n".join(upward)


def test_no_modules_import_each_other_in_a_circle():
    ours = {module: names & MODULES.keys() for module, names in IMPORTS.items()}
    try:
        TopologicalSorter(ours).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_the_optional_packages_have_one_door():
    """`cli/optional.py`, which imports by name what no other module mentions in code."""
    for module, path in MODULES.items():
        code = ast.parse(path.read_text(encoding="utf-8"))
        strings = [node.value for node in ast.walk(code) if isinstance(node, ast.Constant)]
        texts = IMPORTS[module] | {text for text in strings if isinstance(text, str) and " " not in text}
        opened = {text.partition(".")[0] for text in texts} & OPTIONAL
        assert opened == (OPTIONAL if module == "latentrt.cli.optional" else set()), module
