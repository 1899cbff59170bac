"""`doit new`: a component or a pipeline that runs as it is, to be changed step by step."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from daintree.authoring.lock_requirements import component_python, library_lock
from daintree.components import (
    DOCKERFILE,
    ENTRYPOINT,
    REQUIREMENTS,
    TOP,
    default_dockerfile,
    discover_components,
    discover_libraries,
    is_component,
)
from daintree.components.git import ignored_by
from daintree.errors import UsageError
from daintree.spec.pipeline import DIRECTORY, NAME, SUFFIXES, read_pipeline
from daintree.terminal import nearest

LIBRARY = "lib/stageio"
CONNECTOR = "common/load-jsonl"
CLEANER = "common/clean-csv"
SAMPLES = f"{DIRECTORY}/samples"
PURCHASES = f"{SAMPLES}/purchases.json.gz"

# What docker accepts as a part of an image's name.
_PART = r"[a-z0-9]+(?:[-_][a-z0-9]+)*"
_COMPONENT_NAME = re.compile(rf"{_PART}/{_PART}\Z")

TEMPLATES = Path(__file__).with_name("templates")
# A component's files and their templates: under names of their own, none of these is taken for
# source or test of the tooling itself.
_COMPONENT_FILES = {
    "component.yaml": "component.yaml",
    "main.py": "main.py",
    "requirements.in": "requirements.in",
    "tests/test_main.py": "test_main.py",
}
_COMMON = ("requirements.in",)


def new_component(root: Path, name: str, *, dockerfile: bool = False) -> list[Path]:
    """Write the component `name`, GROUP/NAME, and return its files, sorted; with the default `dockerfile`, to be changed.

    Of a component that is there, the `dockerfile` alone is written. All of it or nothing appears; nothing that exists is changed. Needs no network: it is locked to
    what lib/stageio is. Raises UsageError for a name that cannot be one or is taken.
    """
    if dockerfile and is_component(root / TOP / name):
        return [_write_dockerfile(root, name)]
    _check_component(root, name)
    contents = {
        path: _template(f"component/{template}", COMPONENT_NAME=name)
        for path, template in _COMPONENT_FILES.items()
    }
    contents["requirements.txt"] = library_lock(root, LIBRARY, name, contents["requirements.in"])
    if dockerfile:
        contents[DOCKERFILE] = default_dockerfile("", has_requirements=True).decode()
    target = root / TOP / name
    with _written(f"{TOP}/{name}"), _scratch(root) as scratch:
        made = scratch / target.name
        for path, content in contents.items():
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            (made / path).write_text(content, encoding="utf-8")
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(made, target)
    return [target / path for path in sorted(contents)]


def _write_dockerfile(root: Path, name: str) -> Path:
    directory = root / TOP / name
    python = component_python(root, name)
    path = directory / DOCKERFILE
    try:
        with open(path, "xb") as file:
            file.write(default_dockerfile(python, (directory / REQUIREMENTS).exists()))
    except FileExistsError:
        raise UsageError(f"{TOP}/{name}/{DOCKERFILE} exists already", hint="change it") from None
    except OSError as error:
        raise UsageError(f"{TOP}/{name}/{DOCKERFILE} cannot be written: {error.strerror}") from None
    return path


def new_pipeline(
    root: Path, name: str, components: Sequence[str] = (), *, reserved: Collection[str] = ()
) -> list[Path]:
    """Write the pipeline `name`: `components` on a bundled sample. Returns its file.

    Where there is common/load-jsonl it comes first, and without components common/clean-csv follows.
    Raises UsageError for a name that cannot be one, is taken or is in `reserved`, and for an
    unknown component, SpecError where two stages would have the same name.
    """
    _check_pipeline(root, name, reserved)
    known = discover_components(root)
    connected = CONNECTOR in known
    stages = list(components) or ([CONNECTOR, CLEANER] if connected else [])
    if not stages:
        raise UsageError(
            f"doit new pipeline {name}: of which components?",
            hint=f"doit new pipeline {name} {' '.join(sorted(known)[:2]) or 'GROUP/NAME'}",
        )
    if connected and CONNECTOR not in stages:
        stages.insert(0, CONNECTOR)
    for component in stages:
        if component not in known:
            raise UsageError(f"there is no component {component!r}", hint=nearest(component, known))
    listing = "\n".join(f"  - {component}" for component in stages)
    content = _template(
        "pipeline/pipeline.yaml",
        PIPELINE_NAME=name,
        SOURCE=_sample(root, connected),
        STAGES=listing,
    )
    path = root / DIRECTORY / f"{name}.yaml"
    read_pipeline(content.encode("utf-8"), f"{DIRECTORY}/{path.name}", name)
    with _written(f"{DIRECTORY}/{path.name}"), _scratch(root) as scratch:
        made = scratch / path.name
        made.write_text(content, encoding="utf-8")
        path.parent.mkdir(exist_ok=True)
        os.link(made, path)
    return [path]


def _check_component(root: Path, name: str) -> None:
    if not _COMPONENT_NAME.match(name):
        raise UsageError(
            f"{name!r} cannot be a component's name",
            hint="GROUP/NAME of lower-case letters, digits, - and _ between them"
            f", e.g. {_proposal(name)}",
        )
    group = name.partition("/")[0]
    if group == LIBRARY.partition("/")[0] or group in discover_libraries(root):
        raise UsageError(
            f"{TOP}/{group} is for libraries, which have neither {ENTRYPOINT} nor {DOCKERFILE}",
            hint="choose another group, e.g. " + _proposal(name.partition("/")[2]),
        )
    if group in discover_components(root):
        raise UsageError(f"{group} is a component, and none can lie inside another")
    rule = ignored_by(root, f"{TOP}/{name}/{ENTRYPOINT}")
    if rule:
        raise UsageError(
            f"{TOP}/{name} is ignored by git: {rule}",
            hint="choose another name, or change that rule",
        )
    if os.path.lexists(root / TOP / name):
        raise UsageError(f"{TOP}/{name} exists already", hint="choose another name")
    if LIBRARY not in discover_libraries(root):
        raise UsageError(f"there is no library {LIBRARY}, which a new component is written with")


def _check_pipeline(root: Path, name: str, reserved: Collection[str]) -> None:
    if not NAME.match(name):
        raise UsageError(
            f"{name!r} cannot be a pipeline's name", hint="letters, digits, - and _, e.g. shop-rank"
        )
    if name in reserved:
        raise UsageError(
            f"{name!r} is the name of a doit command or task", hint="choose another name"
        )
    for suffix in SUFFIXES:
        if os.path.lexists(root / DIRECTORY / (name + suffix)):
            raise UsageError(
                f"{DIRECTORY}/{name}{suffix} exists already", hint="choose another name"
            )


def _sample(root: Path, connected: bool) -> str:
    """The path of the sample that a new pipeline reads: for the connector, else the project's first."""
    if connected:
        return PURCHASES
    samples = sorted(path for path in (root / SAMPLES).glob("*") if path.is_file())
    return f"{SAMPLES}/{samples[0].name}" if samples else f"{SAMPLES}/FILE"


def _proposal(name: str) -> str:
    """A name that could be meant by one that cannot be a component's."""
    parts = [re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-") for part in name.split("/")]
    named = [part for part in parts if part]
    return "/".join(["shop", *named][-2:] if named else ["shop", "rank"])


def common_files(name: str) -> dict[str, str]:
    """The files of the component `name` that hold nothing of its own, by their paths in it."""
    return {
        path: _template(f"component/{_COMPONENT_FILES[path]}", COMPONENT_NAME=name)
        for path in _COMMON
    }


def filled(text: str, **values: str) -> str:
    """A template's text with its placeholders replaced."""
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    return text


def _template(name: str, **values: str) -> str:
    return filled((TEMPLATES / f"{name}.template").read_text(encoding="utf-8"), **values)


@contextlib.contextmanager
def _scratch(root: Path) -> Iterator[Path]:
    """A directory on the project's file system, outside of what holds components and pipelines."""
    directory = Path(tempfile.mkdtemp(prefix=".doit-new-", dir=root))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _written(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"{what} cannot be written: {error.strerror}") from None
