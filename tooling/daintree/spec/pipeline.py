"""`pipelines/NAME.yaml`: a source, stages and an output, checked and in order."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from daintree.errors import SpecError, UsageError, nearest
from daintree.spec.component import ComponentSpec, Resources, Scalar, check_resources
from daintree.spec.document import Document, KeyPath, convert, parse_document

# The time after which a stage that reads no source is computed anew: an hour, day or week of UTC, each run, or never.
Refresh: TypeAlias = Literal["1h", "1d", "7d", "always", "never"]


class StageSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One stage in the long form.

    `component` is the component's name; where its sources are in another repository, with the `version` to take, or in its
    place the `image` by its digest (`registry/path/name@sha256:…`). `name` is the stage's (default: the last
    part of the component's or image's); `params` the parameters that differ from the component's defaults; `needs` the stages whose outputs it
    reads, and sources as `source.NAME` (default: the stage before it; [] reads the one `source`, if there is one); `refresh` says how long the
    output of a stage that reads something else, such as a database, stays good; `resources` replaces the component's.
    """

    component: str = ""
    version: str = ""
    image: str = ""
    name: str = ""
    params: dict[str, Scalar] = {}
    needs: tuple[str, ...] | None = None
    refresh: Refresh | None = None
    resources: Resources | None = None


class SourceSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A source with the SHA-256 (64 hex digits) that the file at its location must have.

    `follow_links` follows links in it that lead out of the source and the project.
    """

    location: str
    sha256: str = ""
    follow_links: bool = False


class OutputSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An output directory that gets one subdirectory for each stage named."""

    path: str
    stages: tuple[str, ...]


class PipelineSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A pipeline file.

    `source` is a path or a pattern of paths (relative to the project), an http(s):// or an s3:// URL, or a run by its
    name, PIPELINE:STAGE@NAME; `sources`, in its place, are several by name; `output` is a directory that gets a copy of the last stage's output; `stages` are component
    names, run in sequence, or stages in the long form, or both mixed.
    """

    description: str = ""
    source: str | SourceSpec = ""
    sources: dict[str, str | SourceSpec] = {}
    output: str | OutputSpec | None = None
    stages: tuple[str | StageSpec, ...]


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """A stage with every default filled in; `needs` are names of stages before it in the pipeline's order.

    `sources` are the names of the sources it reads, "" for the pipeline's one `source`; `refresh` is "" where it has none. `component` is "" where an `image` says what it runs; `version` is 20 to 64 hex digits, or "" for what lies
    in this project.
    """

    name: str
    component: str
    version: str = ""
    image: str = ""
    params: dict[str, Scalar] = {}
    needs: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    refresh: Refresh | Literal[""] = ""
    resources: Resources | None = None
    place: str = ""

    @property
    def code(self) -> str:
        """Name of the code that the stage runs: a component, a component at a version, or an image."""
        return self.image or (
            f"{self.component}@{self.version}" if self.version else self.component
        )


class Pipeline(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A checked pipeline. `stages` are in an order in which each comes after its needs.

    `sources` are by name, "" for the one `source`. `output_stages` are the stages copied to `output` ("" for no output); one subdirectory each when
    `output_split`. `file` is the file's path relative to the project.
    """

    name: str
    file: str
    description: str = ""
    sources: dict[str, SourceSpec]
    output: str = ""
    output_stages: tuple[str, ...] = ()
    output_split: bool = False
    stages: tuple[Stage, ...]

    def stage(self, name: str) -> Stage:
        """The stage of this name. Raises UsageError, with the nearest name, where there is none."""
        if name in self._by_name:
            return self._by_name[name]
        raise UsageError(
            f"pipeline {self.name!r} has no stage {name!r}", hint=nearest(name, list(self._by_name))
        )

    @cached_property
    def _by_name(self) -> dict[str, Stage]:
        return {stage.name: stage for stage in self.stages}

    def typed_sources(self, words: Sequence[str]) -> dict[str, str]:
        """`--source` words as locations by name: that of the one `source`, or `name=location` of each of several.

        Raises UsageError for a word that names no source of the pipeline.
        """
        if not words or "" in self.sources:
            return {"": words[-1]} if words else {}
        names = list(self.sources)
        typed: dict[str, str] = {}
        for word in words:
            name, _, location = word.partition("=")
            if not location:
                raise UsageError(
                    f"--source {word!r}: which source of pipeline {self.name!r} is it for?",
                    hint=f"write --source {names[0]}=PATH" if names else "it reads no source",
                )
            if name not in names:
                raise UsageError(
                    f"--source {word}: pipeline {self.name!r} has no source {name!r}",
                    hint=nearest(name, names),
                )
            typed[name] = location
        return typed


class Combination(msgspec.Struct, frozen=True):
    """Combination of a sweep: its stages by those of the pipeline itself, and its values by `stage.parameter`."""

    stages: dict[str, str]
    values: dict[str, Scalar]


def plain_stage(name: str) -> str:
    """A stage's name without the combination of a sweep, `train` of `train[epochs=10]`: no name has a bracket otherwise."""
    return name.partition("[")[0]


DIRECTORY = "pipelines"
SUFFIXES = (".yaml", ".yml", ".json")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}\Z")
SHA256 = r"[0-9a-f]{64}\Z"
VERSION = r"[0-9a-f]{20,64}\Z"
IMAGE = r"[a-z0-9\[][a-z0-9._:/\[\]-]*@sha256:[0-9a-f]{64}\Z"
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


def component_hint(root: Path, name: str) -> str:
    """A hint for the name of a component where that of a pipeline belongs: the stages that run it; "" where none does."""
    stages: list[str] = []
    for pipeline in pipeline_files(root) if "/" in name else ():
        # A file that is wrong is told where it is used.
        with suppress(SpecError):
            for stage in load_pipeline(root, pipeline, ()).stages:
                stages += [f"{pipeline}:{stage.name}"] if stage.component == name else []
    return f"{name} is a component, which runs as {' and as '.join(stages)}" if stages else ""


def load_pipeline(root: Path, name: str, reserved: Collection[str]) -> Pipeline:
    """Read and check one pipeline; other files are not looked at.

    Raises UsageError when there is no such pipeline, SpecError when its file is wrong or its
    name is one of `reserved`.
    """
    files = [path for suffix in SUFFIXES if (path := root / DIRECTORY / (name + suffix)).is_file()]
    if not files:
        raise UsageError(
            f"there is no pipeline {name!r} in {DIRECTORY}/",
            hint=component_hint(root, name)
            or nearest(name, list(pipeline_files(root)))
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
    sources = _sources(spec, document)
    stages = _ordered(_stages(spec.stages, sources, document))
    output, output_stages, split = _output(spec.output, stages, document)
    return Pipeline(
        name=name,
        file=where,
        description=spec.description,
        sources=sources,
        output=output,
        output_stages=output_stages,
        output_split=split,
        stages=tuple(stages),
    )


def _sources(spec: PipelineSpec, document: Document) -> dict[str, SourceSpec]:
    """The sources by name, "" for the one `source`."""
    if "source" in document.value and spec.sources:
        raise SpecError(
            f"{document.place(('sources',))}: a pipeline has a 'source' or 'sources', not both",
            hint="give the one a name among the others",
        )
    given = spec.sources or ({"": spec.source} if "source" in document.value else {})
    sources: dict[str, SourceSpec] = {}
    for name, source in given.items():
        path: KeyPath = ("sources", name) if spec.sources else ("source",)
        if spec.sources:
            taken = [other.casefold() for other in sources]
            _check_name(name, taken, document.place(path), "source")
        made = source if isinstance(source, SourceSpec) else SourceSpec(location=source)
        if not made.location:
            raise SpecError(f"{document.place(path)}: the source is empty")
        if made.sha256 and not re.match(SHA256, made.sha256):
            raise SpecError(
                f"{document.place((*path, 'sha256'))}: sha256 must be 64 lower-case hex digits"
            )
        sources[name] = made
    return sources


SOURCE_NEED = "source."


def _reads(
    spec: StageSpec, before: Sequence[str], sources: Mapping[str, SourceSpec], place: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The stages and the sources that a stage reads; `before` is the stage before it, if there is one."""
    needs = tuple(before) if spec.needs is None else spec.needs
    stages = tuple(need for need in needs if not need.startswith(SOURCE_NEED))
    named = tuple(need.removeprefix(SOURCE_NEED) for need in needs if need not in stages)
    for name in named:
        if not name or name not in sources:
            known = [SOURCE_NEED + source for source in sources if source]
            raise SpecError(
                f"{place}: this pipeline has no source {name!r}",
                hint=nearest(SOURCE_NEED + name, known)
                or f"name it: `sources: {{{name or 'NAME'}: …}}` in the place of `source: …`",
            )
    if len(set(named)) < len(named):
        raise SpecError(f"{place}: a stage names a source twice")
    if not needs and "" in sources:
        return (), ("",)
    if not needs and spec.refresh is None:
        names = ", ".join(SOURCE_NEED + source for source in sources)
        raise SpecError(
            f"{place}: the stage reads none of the sources, and does not say `refresh`"
            if names
            else f"{place}: the pipeline's 'source' is missing, and the stage does not say `refresh`",
            hint=(f"name what it reads: `needs: [{names}]`" if names else "write `source: PATH`")
            + "; or say how long its output stays good: `refresh: 1h`, 1d, 7d, always or never",
        )
    return stages, named


def _stages(
    specs: Sequence[str | StageSpec], sources: Mapping[str, SourceSpec], document: Document
) -> list[Stage]:
    if not specs:
        raise SpecError(f"{document.place(('stages',))}: a pipeline needs at least one stage")
    stages: list[Stage] = []
    taken: set[str] = set()
    for index, item in enumerate(specs):
        spec = item if isinstance(item, StageSpec) else StageSpec(component=item)
        place = document.place(("stages", index))
        version = _version(spec, place)
        name = spec.name or (spec.component or spec.image.partition("@")[0]).rsplit("/", 1)[-1]
        _check_name(name, taken, place, "stage")
        taken.add(name.casefold())
        if spec.resources:
            check_resources(spec.resources, place)
        needs, read = _reads(spec, [stages[-1].name] if stages else [], sources, place)
        stages.append(
            Stage(
                name=name,
                component=spec.component,
                version=version,
                image=spec.image,
                params=_params(spec, place),
                needs=needs,
                sources=read,
                refresh=spec.refresh or "",
                resources=spec.resources,
                place=place,
            )
        )
    for name in sources:
        if name.casefold() in taken:
            raise SpecError(
                f"{document.place(('sources', name))}: a stage is called {name!r}, too",
                hint="both would be read from the same directory: give one of them another name",
            )
    return stages


def _version(spec: StageSpec, place: str) -> str:
    """The hex digits of the version that the stage asks for, "" for none; what it runs must be clear."""
    if not spec.component and not spec.image:
        raise SpecError(f"{place}: the key 'component' is missing, or 'image' in its place")
    if spec.component and spec.image:
        raise SpecError(f"{place}: a stage has a component or an image, not both")
    if spec.image and (spec.version or not re.match(IMAGE, spec.image)):
        raise SpecError(
            f"{place}: {spec.image!r} is no image by its digest",
            hint="write registry.example/ml/name@sha256:<64 hex digits>, and no version with it",
        )
    digits = spec.version.removeprefix("sha256:")
    if spec.version and not re.match(VERSION, digits):
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


def _check_name(name: str, taken: Collection[str], place: str, what: str) -> None:
    if not NAME.match(name):
        raise SpecError(
            f"{place}: {name!r} cannot be a {what}'s name", hint="letters, digits, - and _"
        )
    if name in RESERVED_STAGES:
        raise SpecError(f"{place}: a {what} cannot be called {name!r}: the word is taken")
    if name.casefold() in taken:
        hint = "give one of them another name"
        raise SpecError(
            f"{place}: there are two {what}s called {name!r}",
            hint=f"{hint}: `- {{name: …, component: …}}`" if what == "stage" else hint,
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
            raise SpecError(
                f"{circle[0].place}: the stages' needs go round in a circle: {names}",
                hint="a stage needs only what is computed before it: take one of these needs out",
            )
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
        pipeline = schema["$defs"]["PipelineSpec"]
        refreshed = {"contains": {"type": "object", "required": ["refresh"]}}
        pipeline["anyOf"] = [
            {"oneOf": [{"required": ["source"]}, {"required": ["sources"]}]},
            {"properties": {"stages": refreshed}},
        ]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **schema}
