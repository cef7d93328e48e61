"""AUTOMATIC1111's form of text, which many programs write: prompts, then a line of entries that begins with Steps.

Programs put lines behind it, or write all of it in one line; see `latentrt.pictures.metadata` for the form itself.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from latentrt.pictures.metadata import PAIR, parse_parameters, unquote
from latentrt.pictures.writers import programs
from latentrt.pictures.writers.entries import canonical
from latentrt.pictures.writers.found import Texts
from latentrt.pictures.writers.writer import PictureText, Writer

_NEGATIVE = "Negative prompt:"
_STEPS = re.compile(r"(?<!\S)Steps:[ \t]*[0-9]+(?:\.0*)?[ \t]*,")
# Three of these in one line, and it is one of entries.
_TELLING = {"Steps", "Sampler", "CFG scale", "Seed", "Size", "Model", "Model hash", "Version", "Clip skip"}
_ENOUGH = 3
_MOST_JSON = 50  # values in JSON that are looked for in one line
# AUTOMATIC1111 changed these ways, and what it wrote before says nothing of them: since which release, or commit after
# it. A text without a version tells of none, to AUTOMATIC1111 too.
_STRENGTH_SINCE = (1, 8, 0, 0)  # before, txt2img stated a strength, too
_ALPHAS_SINCE = (1, 7, 0, 225)  # before, alphas were float16
_PADS_SINCE = (1, 6, 0, 0)  # before, DDIM and PLMS padded the shorter of prompt and negative prompt


@dataclass(frozen=True)
class _Parts:
    prompt: str
    negative: str
    entries: dict[str, str]
    behind: tuple[str, ...] = ()


def read(texts: Texts) -> PictureText | None:
    """The first text of this form; None where there is none."""
    for found in texts.of_parameters():
        text = found.text.replace("\r\n", "\n").removeprefix("\ufeff").strip("\0")
        parts = _ours(text) or _parts(text)
        if parts is not None:
            writer, version = _writer(parts.entries, texts)
            entries = canonical(parts.entries, writer.aliases)
            entries.pop("Version", None)
            if writer.name == programs.AUTOMATIC1111.name:
                _as_it_was(entries, version)
            if writer is programs.STABLE_DIFFUSION_CPP:
                _as_cpp(entries)
            if writer is programs.FOOOCUS and entries.get("Raw prompt", parts.prompt) != parts.prompt:
                entries["Styles"] = (
                    "applied"  # they make several texts, which are joined here and read apart there
                )
            return PictureText(
                found.text, found.where, writer, version, parts.prompt, parts.negative, entries, parts.behind
            )
    return None


def _ours(text: str) -> _Parts | None:
    """Our own, whose last line is always that of the entries, and which says prompts exactly."""
    p = parse_parameters(text)
    if p.version is None or not p.version.startswith("latentrt "):
        return None
    entries = dict(_pairs(text.strip().rsplit("\n", 1)[-1]))
    entries = {key: value for key, value in entries.items() if not key.startswith("Exact ")}
    return _Parts(p.prompt, p.negative_prompt, entries)


def _parts(text: str) -> _Parts | None:
    """Its parts, by the last line that begins with Steps, else by the last of entries; None where there is none."""
    lines = text.strip().split("\n")
    at = next((i for i in reversed(range(len(lines))) if _STEPS.match(lines[i].strip())), None)
    if at is None:
        at = next((i for i in reversed(range(len(lines))) if _is_entries(lines[i])), None)
        if at is None:
            return None
    line = lines[at].strip()
    begins = [match.start() for match in _STEPS.finditer(line)]
    begin = begins[-1] if begins and not _STEPS.match(line) else 0
    if begin and len(dict(_pairs(line[begin:]))) < 2:
        begin = 0
    prompt, negative = _prompts([*lines[:at], line[:begin]] if begin else lines[:at], split=begin > 0)
    entries = dict(_pairs(line[begin:]))
    behind = tuple(behind.strip() for behind in lines[at + 1 :] if behind.strip())
    return _Parts(prompt, negative, entries, behind) if len(entries) > 1 else None


def _is_entries(line: str) -> bool:
    if len(_STEPS.findall(line)):
        return True
    return len(_TELLING & set(canonical(dict(_pairs(line))))) >= _ENOUGH


def _prompts(lines: list[str], split: bool) -> tuple[str, str]:
    """Prompt and negative prompt; with `split` that one may begin within a line."""
    text = "\n".join(line.strip() for line in lines)
    match = re.search(rf"(?:^|\n|(?<=\s)){_NEGATIVE}" if split else rf"(?:^|\n){_NEGATIVE}", text)
    if match is None:
        return text.strip(), ""
    return text[: match.start()].strip(), text[match.end() :].strip()


def _pairs(line: str) -> Iterator[tuple[str, str]]:
    """The entries of a line. A value may be quoted, or be JSON as it is, which civitai writes."""
    at, tried = 0, 0
    while (match := PAIR.search(line, at)) is not None:
        key, value, at = match[1], match[2], match.end()
        if value[:1] in ("[", "{") and tried < _MOST_JSON:
            tried += 1
            try:
                _, at = json.JSONDecoder().raw_decode(line, match.start(2))
                value = line[match.start(2) : at]
            except (ValueError, RecursionError):
                pass
        yield key, unquote(value)


def _writer(entries: dict[str, str], texts: Texts) -> tuple[Writer, str]:
    """Who wrote them, and which version."""
    version = entries.get("Version", "")
    software = texts.get("Software")
    if version.startswith("latentrt "):
        return programs.LATENTRT, version.removeprefix("latentrt ")
    if "Civitai resources" in entries and version in ("", "ComfyUI"):
        return (programs.COMFY_UI if version else programs.CIVITAI), ""
    if entries.get("App") == "SD.Next" or {"Backend", "Operations"} & entries.keys():
        return programs.SD_NEXT, version
    for writer in (programs.FOOOCUS, programs.COMFY_UI, programs.STABLE_DIFFUSION_CPP):
        name = writer.name
        for said in (version, software) if writer is programs.FOOOCUS else (version,):
            if said.lower().startswith(name.lower()):
                return writer, said[len(name) :].strip()
    if {"Sharpness", "ADM Guidance"} & entries.keys():
        return programs.FOOOCUS, version
    if re.match(r"f[0-9]+\.", version):
        return programs.FORGE, version
    if version.startswith("neo"):
        return programs.FORGE_NEO, version
    if not version or re.match(r"v[0-9]", version):
        # Before 1.3 none was written. AI Horde and others write none to this day: nothing tells them apart.
        return _webui(version), version
    if re.fullmatch(
        r"[0-9a-f]{7,40}", version
    ):  # SD.Next before it named itself, and builds of AUTOMATIC1111
        return (programs.SD_NEXT if "Parser" in entries else programs.AUTOMATIC1111), version
    return programs.ANOTHER, version


def _webui(version: str) -> Writer:
    if (numbers := _numbers(version)) is not None and numbers >= _STRENGTH_SINCE:
        return replace(programs.AUTOMATIC1111, strength=True)
    return programs.AUTOMATIC1111


def _as_it_was(entries: dict[str, str], version: str) -> None:
    """Entries under which today's release has what older ones did without a word."""
    numbers = _numbers(version)
    if numbers is not None and numbers < _ALPHAS_SINCE:
        entries.setdefault("Downcast alphas_cumprod", "True")
    if numbers is not None and numbers < _PADS_SINCE and entries.get("Sampler") in ("DDIM", "PLMS"):
        entries.setdefault("Pad conds v0", "True")


def _as_cpp(entries: dict[str, str]) -> None:
    """Entries of stable-diffusion.cpp as others have them: its schedules stand behind the sampler's name."""
    if match := re.fullmatch(r"(\S+) (\w{2,})", entries.get("Sampler", "")):
        entries["Sampler"] = match[1]
        entries.setdefault("Schedule type", match[2])
    # It states its default too, which is each sampler's own; in all versions but the newest Euler a knows none.
    if re.fullmatch(r"0(?:\.0*)?|inf", entries.get("Eta", "")):
        del entries["Eta"]
    if entries.get("Sampler RNG") == entries.get("RNG"):
        entries.pop("Sampler RNG", None)


def _numbers(version: str) -> tuple[int, ...] | None:
    """Major, minor, patch, and commits since; None of no release."""
    match = re.match(r"v([0-9]{1,4})\.([0-9]{1,4})(?:\.([0-9]{1,4}))?(?:-([0-9]{1,6})-g)?", version)
    return None if match is None else tuple(int(number or 0) for number in match.groups())
