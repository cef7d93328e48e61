"""What stands where a file of a model should: told by its first bytes, with the way out.

Names lie: `.bin` is pickle or not, `.safetensors` may be the page that a site gave in its place.
"""

import os
import re
import shlex
from pathlib import Path

HEAD_BYTES = 512  # enough of a file for `describe`

# Suffixes that programs give to files which they have not finished: huggingface_hub, browsers, aria2, curl and others.
_UNFINISHED = (".incomplete", ".part", ".partial", ".crdownload", ".download", ".aria2", ".!qB", ".tmp")
_GIT_LFS = b"version https://git-lfs.github.com/spec/"
_HTML = re.compile(
    rb"\s*(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)
# A pickle of protocol 2 or later: the opcode, the version, and an opcode that can be the first.
_PICKLE = re.compile(rb"\x80[\x02-\x05][\x8a\x95\x7d\x5d\x63\x28\x58\x8c\x71\x4b]")
_TORCH_ZIP = re.compile(
    rb"PK\x03\x04.{26}[^/]{1,200}/(?:data\.pkl|version|byteorder|\.format_version|data/)", re.S
)

# First bytes -> what it is, and what to do.
_FORMATS: tuple[tuple[bytes, str, str], ...] = (
    (b"GGUF", "a GGUF file, of stable-diffusion.cpp and its kin", "take the same model as safetensors"),
    (b"ggml", "a GGML file, of llama.cpp's kin", "take the same model as safetensors"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, of Keras", "take the same model as safetensors"),
    (b"PK\x03\x04", "a zip archive", "unpack it, and name what is inside"),
    (b"\x1f\x8b", "a gzip archive", "unpack it, and name what is inside"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it, and name what is inside"),
    (b"Rar!\x1a\x07", "a RAR archive", "unpack it, and name what is inside"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", "unpack it, and name what is inside"),
    (b"\x89PNG\r\n\x1a\n", "a picture", "name the model"),
    (b"\xff\xd8\xff", "a picture", "name the model"),
    (b"%PDF", "a PDF document", "download the file again"),
    (b"<?xml", "an XML page, as file servers tell their errors", "download the file again"),
)


def describe(path: Path, head: bytes) -> str | None:
    """What a file that cannot be read as what it should be is instead, and what to do; None where that is not known.

    Args:
        path: its name, and neighbours that tell of a download, count too.
        head: its first `HEAD_BYTES`, or all of it.
    """
    if not head:
        return "is empty: a download broke off, or the disk was full; download it again"
    if head.startswith(_GIT_LFS):
        return (
            "is a Git LFS pointer, not the file: run `git lfs pull` in the clone, or download the file itself"
        )
    if _HTML.match(head):
        return (
            "is an HTML page, as a site gives in place of a file that is gone or wants a login; download it again, "
            "logged in or with a token"
        )
    if (unfinished := _unfinished(path)) is not None:
        return unfinished
    if is_pickle(head):
        return (
            "holds pickled weights, which can run code when read; refused. Take the model's .safetensors, or convert "
            f"it in an environment with torch: {conversion(path)}"
        )
    for magic, what, advice in _FORMATS:
        if head.startswith(magic):
            return f"is {what}; {advice}"
    if not head.strip(b"\0"):
        return "begins with nothing but zeros: a download that has not been written yet, or broke off"
    return None


def is_pickle(head: bytes) -> bool:
    """Whether a file begins as those that torch.save writes, of any age."""
    return _PICKLE.match(head) is not None or _TORCH_ZIP.match(head) is not None


def conversion(path: Path) -> str:
    """The command that writes a pickled checkpoint's tensors as safetensors beside it; torch runs no code of it."""
    code = (
        "import sys, torch, safetensors.torch as s; "
        "w = torch.load(sys.argv[1], map_location='cpu', weights_only=True); w = w.get('state_dict', w); "
        "w = {k: v.clone().contiguous() for k, v in w.items() if torch.is_tensor(v)}; s.save_file(w, sys.argv[2])"
    )
    return shlex.join(["python", "-c", code, str(path), str(path.with_suffix(".safetensors"))])


def _unfinished(path: Path) -> str | None:
    """Whether the name, or a file beside it, says that a download is not done."""
    if path.name.endswith(_UNFINISHED):
        return f"is the beginning of a download ({path.suffix}); let that finish, or download it again"
    for suffix in _UNFINISHED:
        if os.path.lexists(f"{path}{suffix}"):
            return f"is not whole: {path.name}{suffix} stands beside it; let that download finish"
    return None
