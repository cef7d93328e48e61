"""The runtime stays light: nothing of torch's world is imported, and `import latentrt` costs next to nothing."""

import pkgutil
import subprocess
import sys

import pytest

import latentrt

BLOCKED = (
    "torch",
    "diffusers",
    "transformers",
    "onnx",
    "onnxscript",
    "safetensors",
    "latentrt_export",
    "latentrt_bench",
)
BLOCK = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BLOCKED!r}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Block())
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_module_imports_without_torch():
    modules = [
        m.name
        for m in pkgutil.walk_packages(latentrt.__path__, "latentrt.")
        if not m.name.endswith("__main__")
    ]
    assert "latentrt.samplers.ddim" in modules
    run(BLOCK + "import importlib\n" + "".join(f"importlib.import_module({name!r})\n" for name in modules))


def test_import_is_lazy():
    heavy = ("numpy", "onnxruntime", "PIL", "tokenizers", "tqdm", "google.protobuf", "huggingface_hub")
    found = run(f"import sys, latentrt; print([m for m in {heavy!r} if m in sys.modules])")
    assert found == "[]"


def test_every_public_name_is_there_after_import_latentrt_alone():
    names = run(
        "import latentrt; [getattr(latentrt, name) for name in latentrt.__all__]; print(*latentrt.__all__)"
    )
    assert {"load", "Hires", "samplers", "noise", "preview"} <= set(names.split())


def test_dir_tells_what_is_lazy():
    assert set(run("import latentrt; print(*dir(latentrt))").split()) >= set(latentrt.__all__)


def test_preview_is_a_short_way_to_its_module():
    assert run("import latentrt; print(latentrt.preview.make_preview is latentrt.make_preview)") == "True"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'latentrt' has no attribute 'Generatoin'"):
        _ = latentrt.Generatoin
