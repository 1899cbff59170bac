"""`pipelines/NAME.yaml`: a source, stages and an output, checked and in order."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from daintree.errors import SpecError, UsageError
from daintree.spec.component import ComponentSpec, Resources, Scalar
from daintree.spec.validation import check_resources, convert
from daintree.spec.yaml import Document, parse_document
from daintree.terminal import nearest


class StageSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One stage in the long form.

    `component` is the component's name; where its sources are in another repository, with the `version` to take, or in its
    place the `image` by its digest (`registry/path/name@sha256:…`). `name` is the stage's (default: the last
    part of the component's or image's); `params` the parameters that differ from the component's defaults; `needs` the stages whose outputs it
    reads (default: the stage before it; [] reads the source); `resources` replaces the component's.
    """

    component: str = ""
    version: str = ""
    image: str = ""
    name: str = ""
    params: dict[str, Scalar] = {}
    needs: tuple[str, ...] | None = None
    resources: Resources | None = None


class SourceSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A source with the SHA-256 (64 hex digits) that the file at its location must have."""

    location: str
    sha256: str = ""


class OutputSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An output directory that gets one subdirectory for each stage named."""

    path: str
    stages: tuple[str, ...]


class PipelineSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A pipeline file.

    `source` is a path (relative to the project), an http(s):// or an s3:// URL; `output` a directory that
    gets a copy of the last stage's output; `stages` component names, run in sequence, or stages in
    the long form, or both mixed.
    """

    description: str = ""
    source: str | SourceSpec
    output: str | OutputSpec | None = None
    stages: tuple[str | StageSpec, ...]


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """A stage with every default filled in; `needs` are names of stages before it in the pipeline's order.

    `component` is "" where an `image` says what it runs; `version` is 20 to 64 hex digits, or "" for what lies
    in this project.
    """

    name: str
    component: str
    version: str = ""
    image: str = ""
    params: dict[str, Scalar]
    needs: tuple[str, ...]
    resources: Resources | None
    place: str

    @property
    def code(self) -> str:
        """Name of the code that the stage runs: a component, a component at a version, or an image."""
        return self.image or (
            f"{self.component}@{self.version}" if self.version else self.component
        )


class Pipeline(msgspec.Struct, frozen=True, kw_only=True):
    """A checked pipeline. `stages` are in an order in which each comes after its needs.

    `output_stages` are the stages copied to `output` ("" for no output); one subdirectory each when
    `output_split`. `file` is the file's path relative to the project.
    """

    name: str
    file: str
    description: str
    source: str
    source_sha256: str
    output: str
    output_stages: tuple[str, ...]
    output_split: bool
    stages: tuple[Stage, ...]

    def stage(self, name: str) -> Stage:
        """The stage of this name. Raises UsageError, with the nearest name, where there is none."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise UsageError(
            f"pipeline {self.name!r} has no stage {name!r}",
            hint=nearest(name, [stage.name for stage in self.stages]),
        )


DIRECTORY = "pipelines"
SUFFIXES = (".yaml", ".yml", ".json")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}\Z")
SHA256 = re.compile(r"[0-9a-f]{64}\Z")
VERSION = re.compile(r"[0-9a-f]{20,64}\Z")
IMAGE = re.compile(r"[a-z0-9\[][a-z0-9._:/\[\]-]*@sha256:[0-9a-f]{64}\Z")
RESERVED_STAGES = frozenset({"source", "output"})


def pipeline_files(root: Path) -> dict[str, list[Path]]:
    """The pipeline files of a project by pipeline name, sorted; more than one file to a name is an error of that pipeline."""
    directory = root / DIRECTORY
    files: dict[str, list[Path]] = {}
    if directory.is_dir():
        for path in sorted(directory.iterdir()):
            if path.suffix in SUFFIXES and path.is_file():
                files.setdefault(path.stem, []).append(path)
    return files


def load_pipeline(root: Path, name: str, reserved: Collection[str]) -> Pipeline:
    """Read and check one pipeline; other files are not looked at.

    Raises UsageError when there is no such pipeline, SpecError when its file is wrong or its
    name is one of `reserved`.
    """
    files = [path for suffix in SUFFIXES if (path := root / DIRECTORY / (name + suffix)).is_file()]
    if not files:
        raise UsageError(
            f"there is no pipeline {name!r} in {DIRECTORY}/",
            hint=nearest(name, list(pipeline_files(root)))
            or "`doit list` shows the pipelines there are",
        )
    where = f"{DIRECTORY}/{files[0].name}"
    if len(files) > 1:
        raise SpecError(
            f"{where}: {DIRECTORY}/{files[1].name} describes a pipeline of the same name"
        )
    if not NAME.match(name):
        raise SpecError(
            f"{where}: {name!r} cannot be a pipeline's name", hint="letters, digits, - and _"
        )
    if name in reserved:
        raise SpecError(
            f"{where}: {name!r} is the name of a doit command or task",
            hint="rename the file: the pipeline's name is the file's",
        )
    try:
        content = files[0].read_bytes()
    except OSError as error:
        raise SpecError(f"{where}: cannot be read: {error.strerror}") from None
    return read_pipeline(content, where, name)


def read_pipeline(content: bytes, where: str, name: str) -> Pipeline:
    """The pipeline in a file's bytes. Raises SpecError with file and line."""
    document = parse_document(content, where)
    spec = convert(document, PipelineSpec)
    source = (
        spec.source if isinstance(spec.source, SourceSpec) else SourceSpec(location=spec.source)
    )
    if not source.location:
        raise SpecError(f"{document.place(('source',))}: the source is empty")
    if source.sha256 and not SHA256.match(source.sha256):
        raise SpecError(
            f"{document.place(('source', 'sha256'))}: sha256 must be 64 lower-case hex digits"
        )
    stages = _ordered(_stages(spec.stages, document))
    output, output_stages, split = _output(spec.output, stages, document)
    return Pipeline(
        name=name,
        file=where,
        description=spec.description,
        source=source.location,
        source_sha256=source.sha256,
        output=output,
        output_stages=output_stages,
        output_split=split,
        stages=tuple(stages),
    )


def _stages(specs: Sequence[str | StageSpec], document: Document) -> list[Stage]:
    if not specs:
        raise SpecError(f"{document.place(('stages',))}: a pipeline needs at least one stage")
    stages: list[Stage] = []
    taken: set[str] = set()
    for index, item in enumerate(specs):
        spec = item if isinstance(item, StageSpec) else StageSpec(component=item)
        place = document.place(("stages", index))
        version = _version(spec, place)
        name = spec.name or (spec.component or spec.image.partition("@")[0]).rsplit("/", 1)[-1]
        _check_name(name, taken, place)
        taken.add(name.casefold())
        if spec.resources:
            check_resources(spec.resources, place)
        before = (stages[-1].name,) if stages else ()
        stages.append(
            Stage(
                name=name,
                component=spec.component,
                version=version,
                image=spec.image,
                params=_params(spec, place),
                needs=before if spec.needs is None else spec.needs,
                resources=spec.resources,
                place=place,
            )
        )
    return stages


def _version(spec: StageSpec, place: str) -> str:
    """The hex digits of the version that the stage asks for, "" for none; what it runs must be clear."""
    if not spec.component and not spec.image:
        raise SpecError(f"{place}: the key 'component' is missing, or 'image' in its place")
    if spec.component and spec.image:
        raise SpecError(f"{place}: a stage has a component or an image, not both")
    if spec.image and (spec.version or not IMAGE.match(spec.image)):
        raise SpecError(
            f"{place}: {spec.image!r} is no image by its digest",
            hint="write registry.example/ml/name@sha256:<64 hex digits>, and no version with it",
        )
    digits = spec.version.removeprefix("sha256:")
    if spec.version and not VERSION.match(digits):
        raise SpecError(
            f"{place}: {spec.version!r} is no version",
            hint="20 to 64 hex digits, as `doit build` tells it",
        )
    return digits


def _params(spec: StageSpec, place: str) -> dict[str, Scalar]:
    """The parameters under the names that components declare: `-` and `_` mean the same."""
    params: dict[str, Scalar] = {}
    for key, value in spec.params.items():
        name = key.replace("-", "_")
        if name in params:
            raise SpecError(f"{place}: the parameter {name!r} stands twice")
        params[name] = value
    return params


def _check_name(name: str, taken: Collection[str], place: str) -> None:
    if not NAME.match(name):
        raise SpecError(
            f"{place}: {name!r} cannot be a stage's name", hint="letters, digits, - and _"
        )
    if name in RESERVED_STAGES:
        raise SpecError(f"{place}: a stage cannot be called {name!r}: the word is taken")
    if name.casefold() in taken:
        raise SpecError(
            f"{place}: there are two stages called {name!r}",
            hint="give one of them another name: `- {name: …, component: …}`",
        )


def _check_needs(stages: Sequence[Stage]) -> None:
    names = {stage.name for stage in stages}
    for stage in stages:
        for need in stage.needs:
            if need not in names:
                raise SpecError(
                    f"{stage.place}: stage {stage.name!r} needs {need!r}, which is no stage of this pipeline",
                    hint=nearest(need, [stage.name for stage in stages]),
                )
        if len(set(stage.needs)) < len(stage.needs):
            raise SpecError(f"{stage.place}: stage {stage.name!r} names a need twice")


def _ordered(stages: Sequence[Stage]) -> list[Stage]:
    """The stages, each after its needs, otherwise as written. Raises SpecError for an unknown need or a cycle."""
    _check_needs(stages)
    ordered: list[Stage] = []
    done: set[str] = set()
    waiting = deque(stages)
    while waiting:
        ready = next((s for s in waiting if done.issuperset(s.needs)), None)
        if ready is None:
            circle = _circle(waiting)
            names = " → ".join(stage.name for stage in (*circle, circle[0]))
            raise SpecError(f"{circle[0].place}: the stages' needs go round in a circle: {names}")
        ordered.append(ready)
        done.add(ready.name)
        waiting.remove(ready)
    return ordered


def _circle(waiting: Iterable[Stage]) -> list[Stage]:
    """One circle among stages each of which needs another of them."""
    stages = {stage.name: stage for stage in waiting}
    path = [next(iter(stages.values()))]
    while True:
        following = next(stages[need] for need in path[-1].needs if need in stages)
        if following in path:
            return path[path.index(following) :]
        path.append(following)


def _output(
    output: str | OutputSpec | None, stages: Sequence[Stage], document: Document
) -> tuple[str, tuple[str, ...], bool]:
    last = stages[-1].name
    if output is None:
        return "", (last,), False
    if isinstance(output, str):
        return output, (last,), False
    names = [stage.name for stage in stages]
    for name in output.stages:
        if name not in names:
            raise SpecError(
                f"{document.place(('output', 'stages'))}: {name!r} is no stage of this pipeline",
                hint=nearest(name, names),
            )
    if not output.stages or not output.path:
        raise SpecError(
            f"{document.place(('output',))}: an output needs a path and at least one stage"
        )
    return output.path, output.stages, True


# The files that people write, for editors: their types and titles.
KINDS: dict[str, tuple[type[msgspec.Struct], str]] = {
    "pipeline": (PipelineSpec, "A pipeline: a source, stages, an output"),
    "component": (ComponentSpec, "A component's description of itself"),
}


def json_schema(kind: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of pipeline or component files. Raises KeyError for another kind."""
    spec, title = KINDS[kind]
    schema = msgspec.json.schema(spec)
    stage = schema.get("$defs", {}).get("StageSpec")
    if stage:
        stage["oneOf"] = [{"required": ["component"]}, {"required": ["image"]}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **schema}
