"""What is handed to the cluster: the part of a plan that has to run, with all that recording it takes.

It is kept in the store at `_submissions/<64 hex digits of its digest>` before a Workflow can run; the Workflow
carries the digest. So the manifest stays readable, and whoever records needs the Workflow's status and the store alone.
"""

from __future__ import annotations

import msgspec

from daintree.argo.names import LONGEST_WORKFLOW, kubernetes_name
from daintree.digest import Plain, digest_record, short
from daintree.manifest import SCHEMA, Scalar
from daintree.spec.component import Resources
from daintree.store.records import SUBMISSIONS

_DIGITS = 10
# Room for the number of an attempt.
_LONGEST_STEM = LONGEST_WORKFLOW - _DIGITS - 5


class SubmittedStage(msgspec.Struct, frozen=True, kw_only=True):
    """A stage that runs in the cluster: a task of the Workflow, whose `template` is named too.

    `image` is its component's, `repository@sha256:…`; `command` is the image's own entrypoint and `arguments` what follows it,
    as the container must get them. `outputs` are the files it must write. `replaces` is the run that stands under its key and
    is to make way, a damaged one's or a forced stage's ("" for none). The rest is as in run.json.
    """

    name: str
    task: str
    template: str
    component: str
    version: str
    version_files: dict[str, str]
    parameters: dict[str, Scalar]
    ineffective: tuple[str, ...]
    environment: str
    image: str
    command: tuple[str, ...]
    arguments: tuple[str, ...]
    outputs: tuple[str, ...]
    needs: tuple[str, ...]
    resources: Resources
    recipe: str
    reason: str
    replaces: str = ""


class SubmittedHit(msgspec.Struct, frozen=True, kw_only=True):
    """A stage whose output is in the store: where its run is, and the digest of its output."""

    name: str
    location: str
    digest: str


class SubmittedSource(msgspec.Struct, frozen=True, kw_only=True):
    """What the stages without needs read: its identity, its digest, where it is for people, and where pods find it.

    `url` is s3://… where it is read in place, else "" and the source is in the store at `_sources/<digest>/output`;
    `file` is the name of the file where that is one object and no prefix.
    """

    identity: str
    digest: str
    origin: str
    url: str = ""
    file: str = ""


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """What a Workflow computes. `stages` run, in the pipeline's order; `hits` are those that they read.

    `prefix` is the setting; `commit` that of the files, "" for none; `user` asked for it, with this `tooling`.
    """

    schema: int = msgspec.field(default_factory=lambda: SCHEMA)
    pipeline: str
    source: SubmittedSource
    prefix: str
    stages: tuple[SubmittedStage, ...]
    hits: tuple[SubmittedHit, ...]
    commit: str
    user: str
    tooling: str

    @property
    def digest(self) -> str:
        """The digest of what is computed from what: who asks, with what reasons, and at which commit count for nothing."""
        computed: Plain = [
            [
                *(stage.name, stage.recipe, stage.image, stage.replaces),
                *(float(stage.resources.cpu), stage.resources.memory),
                [[name, stage.parameters[name]] for name in stage.ineffective],
            ]
            for stage in self.stages
        ]
        read: Plain = [[hit.name, hit.location, hit.digest] for hit in self.hits]
        source: Plain = [self.source.identity, self.source.digest, self.source.url]
        return digest_record("submission", 1, [self.pipeline, source, self.prefix, computed, read])

    @property
    def place(self) -> str:
        """Where it is kept below the store."""
        return f"{SUBMISSIONS}/{short(self.digest, 64)}"

    def workflow(self, attempt: int = 1) -> str:
        """The name of the Workflow that computes it: the same for the same plan; a further attempt has its number behind it."""
        name = f"{kubernetes_name(self.pipeline, _LONGEST_STEM)}-{short(self.digest, _DIGITS)}"
        return name if attempt == 1 else f"{name}-{attempt}"

    def stage(self, name: str) -> SubmittedStage | None:
        """The stage of this name, if it is one of those that run."""
        return next((stage for stage in self.stages if stage.name == name), None)
