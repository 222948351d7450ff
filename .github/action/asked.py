"""The Action's inputs: read from the environment, checked, and turned into sandscan's command lines."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from workflow import Wrong, shown

TARGETS = 20
"""Runs that code scanning takes of one upload."""
REPORTS = {"json": "json", "sarif": "sarif", "markdown": "md", "github": "commands"}
"""What every target is rendered as, and how its file ends."""
ENDINGS = {"text": "txt"}
FORMAT = re.compile(r"[a-z]{2,20}")
CATEGORY = re.compile(r"[\w.:@+-][\w.:@+/ -]{0,150}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Asked:
    """The inputs, empty where the workflow says nothing."""

    images: tuple[str, ...]
    dockerfile: str
    launches: tuple[str, ...]
    paths: tuple[str, ...]
    config: str
    options: tuple[str, ...]
    formats: tuple[str, ...]
    output: str
    category: str
    upload: str
    cache: bool


@dataclass(frozen=True, slots=True)
class Job:
    """One call of sandscan, without the words that name reports: `name` for files, `title` for people."""

    name: str
    title: str
    before: tuple[str, ...]
    command: str
    options: tuple[str, ...]
    operands: tuple[str, ...]


def asked(environment: Mapping[str, str]) -> Asked:
    """The inputs as `INPUT_…`. Raises Wrong for what cannot be."""

    def one(name: str) -> str:
        value = environment.get(f"INPUT_{name}", "").strip()
        if len(value.splitlines()) > 1:
            raise Wrong(f"{_said(name)} takes one value, and has several lines")
        return value

    def many(name: str) -> tuple[str, ...]:
        lines = (line.strip() for line in environment.get(f"INPUT_{name}", "").splitlines())
        return tuple(dict.fromkeys(line for line in lines if line))

    config, ignores = one("CONFIG"), one("IGNOREFILE")
    if config and ignores and config != ignores:
        raise Wrong("config and ignorefile are two names of one input, and name two files; give one of them")
    options = {
        "severity": one("SEVERITY"),
        "fail-on": one("FAIL_ON"),
        "baseline": one("BASELINE"),
    }
    category = one("CATEGORY").rstrip("/")
    if category and not CATEGORY.fullmatch(category):
        raise Wrong(f"category {shown(category)!r}: letters, digits, spaces and . : @ + - _ / alone, 150 at most")
    formats = tuple(dict.fromkeys(re.split(r"[\s,]+", environment.get("INPUT_FORMAT", "").strip())))
    if wrong := [one for one in formats if one and not FORMAT.fullmatch(one)]:
        raise Wrong(f"format {shown(wrong[0])!r} is no format's name; write such as html, one per line")
    return Asked(
        images=(*many("IMAGE"), *(f"archive:{file}" for file in many("INPUT"))),
        dockerfile=one("DOCKERFILE"),
        launches=many("LAUNCH"),
        paths=many("PATHS"),
        config=config or ignores,
        options=tuple(f"--{name}={value}" for name, value in options.items() if value),
        formats=tuple(one for one in formats if one and one not in REPORTS),
        output=one("OUTPUT"),
        category=category,
        upload=_choice("upload-sarif", one("UPLOAD_SARIF") or "auto", ("auto", "true", "false")),
        cache=_choice("cache", one("CACHE") or "true", ("true", "false")) == "true",
    )


def _choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise Wrong(f"{name} is {shown(value)!r}: it takes {', '.join(choices)}")
    return value


def _said(name: str) -> str:
    return name.lower().replace("_", "-")


def jobs(inputs: Asked) -> tuple[Job, ...]:
    """What sandscan is called for, in the order of the inputs. Raises Wrong where nothing is named, or too much."""
    if len(inputs.images) > 1 and (inputs.launches or inputs.dockerfile):
        one = "dockerfile" if inputs.dockerfile else "launch"
        raise Wrong(
            f"{one} belongs to one image, and {len(inputs.images)} are named; give each image a step of its own"
        )
    if inputs.dockerfile and not inputs.images:
        raise Wrong(
            "dockerfile says where an image comes from; name the image that was built from it, or look at the file alone with paths"
        )
    found: list[tuple[str, str, tuple[str, ...], tuple[str, ...]]] = []
    for image in inputs.images:
        of = [f"--launch={file}" for file in inputs.launches]
        of += [f"--dockerfile={inputs.dockerfile}"] if inputs.dockerfile else []
        found.append(("scan", image, (*of, "--repo=.", *inputs.options), (image,)))
    if inputs.launches and not inputs.images:
        found.append(("egress", " ".join(inputs.launches), inputs.options, inputs.launches))
    if inputs.paths:
        found.append(("check", " ".join(inputs.paths), inputs.options, inputs.paths))
    if not found:
        raise Wrong("nothing is named: give image, input, launch or paths")
    if len(found) > TARGETS:
        raise Wrong(
            f"{len(found)} targets are too many for one step: {TARGETS} at most; give the others a step of their own"
        )
    before = (f"--config={inputs.config}",) if inputs.config else ()
    names = _names([f"{command}-{title}" if command != "scan" else title for command, title, *_ in found])
    return tuple(
        Job(name, shown(title), before, command, options, operands)
        for name, (command, title, options, operands) in zip(names, found, strict=True)
    )


def _names(titles: list[str]) -> Iterator[str]:
    """A file's name for each, no two alike whatever the letters' case."""
    used: set[str] = set()
    for title in titles:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", title).strip("-.")[:60] or "image"
        number, name = 1, stem
        while name.lower() in used:
            number += 1
            name = f"{stem}-{number}"
        used.add(name.lower())
        yield name


def reports(inputs: Asked, job: Job, folder: Path) -> dict[str, Path]:
    """The file of each report that a target gets, by the format's name."""
    endings = {**REPORTS, **{one: ENDINGS.get(one, one) for one in inputs.formats}}
    return {form: folder / f"{job.name}.{ending}" for form, ending in endings.items()}


def command_line(job: Job, files: Mapping[str, Path]) -> tuple[str, ...]:
    """The words after `sandscan`: no value can be taken for an option, and none is seen by a shell."""
    written = tuple(f"--output={form}={file}" for form, file in files.items())
    return (*job.before, job.command, *written, "--output=text", *job.options, "--", *job.operands)
