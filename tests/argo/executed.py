"""Workflows that have run against a real bucket: their pods are functions that write files and give an exit code."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daintree.argo.manifest import workflow_manifest
from daintree.argo.recording import Recording, StageReport
from daintree.argo.submission import Submission
from daintree.argo.workflow_status import read_status
from daintree.argo.workflows import Times
from daintree.store.bucket import Bucket
from daintree.store.records import IndexRecord, RunManifest
from daintree.store.remote import RemoteRuns
from daintree.terminal import say
from tests.argo.conftest import cluster, digest, make_submission, submitted_stage
from tests.services.minio import Minio
from tests.services.one_machine_argo import OneMachineArgo

Files = Mapping[str, bytes]
# What each attempt of a stage writes, and the exit code that it ends with.
Outcomes = Mapping[str, list[tuple[Files, int]]]
SOURCE = f"_sources/{'5' * 64}/output/corpus.txt"
LOST = -1
# Three stages, each of which reads what the one before it wrote.
SEQUENCE = make_submission(
    submitted_stage(
        "load",
        recipe=digest("a"),
        parameters={"top": 3, "threads": 2},
        ineffective=("threads",),
        arguments=(
            "--input",
            "/application/data/input",
            "--output",
            "/application/data/output",
            "--threads=2",
            "--top=3",
        ),
    ),
    submitted_stage("clean", recipe=digest("b"), needs=("load",), outputs=("n",)),
    submitted_stage("count", recipe=digest("c"), needs=("clean",)),
)


@dataclass
class Shop:
    """A store in a bucket, and a cluster whose pods work on it."""

    bucket: Bucket
    directory: Path
    logs: dict[str, bytes] = field(default_factory=dict)
    times: dict[str, Times] = field(default_factory=dict)

    @classmethod
    def make(cls, minio: Minio, directory: Path) -> Shop:
        """A fresh bucket with a source in it."""
        made = cls(Bucket(f"s3://{minio.bucket()}/team", minio.access), directory)
        made.bucket.put(SOURCE, b"a b a\n")
        return made

    @property
    def remote(self) -> RemoteRuns:
        """The store's runs."""
        return RemoteRuns(self.bucket, say)

    def run(self, submission: Submission, outcomes: Outcomes | None = None) -> dict[str, Any]:
        """Submit it and let it run; the Workflow as the cluster has it then. A stage without outcome writes its name."""
        self.remote.add_submission(submission.digest, submission)
        attempts = {name: iter(all_of) for name, all_of in (outcomes or {}).items()}

        def container(arguments: list[str]) -> tuple[str, int]:
            [name] = [s.name for s in submission.stages if s.image in arguments]
            files, code = next(attempts[name]) if name in attempts else ({"n": name.encode()}, 0)
            for path, content in files.items():
                file = output_directory(arguments) / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            return "", code

        argo = OneMachineArgo(
            self.bucket.access, self.bucket.name, self.directory / "pods", container
        )
        return argo.run(workflow_manifest(submission, cluster(store=self.bucket.url)))

    def recording(
        self, workflow: Mapping[str, Any], submission: Submission, **more: Any
    ) -> Recording:
        """What records this Workflow."""
        values = {"remote": self.remote, "log": self.logs.get, "times": self.times.get, **more}
        return Recording(workflow, read_status(workflow), submission, **values)

    def record(self, workflow: Mapping[str, Any], submission: Submission) -> dict[str, StageReport]:
        """Record all its stages."""
        recording = self.recording(workflow, submission)
        return {stage.name: recording.record(stage) for stage in recording.stages}

    def runs(self) -> dict[str, RunManifest]:
        """The runs of the store by stage, as its history leads to them."""
        latest = {}
        for pipeline, stage in self.remote.records.stages_with_history(None):
            [entry] = self.remote.records.history(pipeline, stage)
            run = self.remote.records.read_run(entry.location)
            assert run is not None
            latest[stage] = run
        return latest

    def objects(self) -> dict[str, str | None]:
        """Every object of the store, and what tells its content from any other."""
        return {one["path"]: one["e_tag"] for one in self.bucket.entries()}


def image(name: str) -> str:
    """The image of a submitted stage of this name."""
    return f"registry.example/ml/text/{name}@{digest('3')}"


def index(shop: Shop, *keys: str) -> list[IndexRecord | None]:
    """What these keys lead to."""
    return shop.remote.records.lookup(keys)


def statuses(reports: Mapping[str, StageReport]) -> dict[str, str]:
    """The status of each stage."""
    return {name: report.status for name, report in reports.items()}


def edit(workflow: Mapping[str, Any], change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The Workflow, changed by hand."""
    changed = copy.deepcopy(dict(workflow))
    change(changed)
    return changed


def node_of(workflow: Mapping[str, Any], display_name: str) -> dict[str, Any]:
    """A node of the Workflow."""
    nodes = workflow["status"]["nodes"].values()
    return next(node for node in nodes if node["displayName"] == display_name)


def template_of(workflow: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A template of the Workflow."""
    templates = workflow["spec"]["templates"]
    return next(template for template in templates if template["name"] == name)


def output_directory(arguments: list[str]) -> Path:
    mounts = [word for word in arguments if word.startswith("type=bind")]
    [mount] = [one for one in mounts if one.endswith("target=/application/data/output")]
    return Path(mount.removeprefix("type=bind,source=").partition(",")[0])
