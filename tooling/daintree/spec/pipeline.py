"""`pipelines/NAME.yaml`: what strings components together."""

from __future__ import annotations

import msgspec

from daintree.errors import UsageError
from daintree.manifest import Scalar
from daintree.spec.component import Resources
from daintree.suggest import nearest


class StageSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One stage in the long form.

    `component` is the component's name; where its sources are elsewhere, with the `version` to take, or in its
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
        """What names the code it runs: a component, a component at a version, or an image."""
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
