"""`pipelines/NAME.yaml`: what strings components together."""

from __future__ import annotations

import msgspec

from tooling.manifest import Scalar
from tooling.spec.component import Resources


class StageSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One stage in the long form.

    `component` is the component's name; `name` the stage's (default: the last part of the component's);
    `params` the parameters that differ from the component's defaults; `needs` the stages whose outputs it
    reads (default: the stage before it; [] reads the source); `resources` replaces the component's.
    """

    component: str
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
    """A stage with every default filled in; `needs` are names of stages before it in the pipeline's order."""

    name: str
    component: str
    params: dict[str, Scalar]
    needs: tuple[str, ...]
    resources: Resources | None
    place: str


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
        """The stage of this name. Raises KeyError."""
        return {stage.name: stage for stage in self.stages}[name]
