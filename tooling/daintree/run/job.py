"""One stage made ready for its runner: environment, arguments, and an input laid out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from daintree.manifest import IndexRecord
from daintree.plan import BoundStage
from daintree.run.planning import Plan
from daintree.runners.protocol import Job, Prepared, Runner
from daintree.settings import Settings
from daintree.snapshot import make_snapshot
from daintree.spec.values import as_argument
from daintree.store.protocol import Staging
from daintree.version import ComponentVersion


def prepare(plan: Plan, stage: BoundStage, announce: Callable[[str], None]) -> Prepared:
    """What the plan's runner runs the stage's version in. Raises EnvironmentFailed, VersionError."""
    return prepare_version(plan.runner, plan.version_of(stage), plan.settings, announce)


def prepare_version(
    runner: Runner, version: ComponentVersion, settings: Settings, announce: Callable[[str], None]
) -> Prepared:
    """What the runner runs the version in; its snapshot is made if the runner needs one. Raises as `prepare` does."""
    return runner.prepare(
        version, lambda: make_snapshot(version, settings.root, settings.snapshots), announce
    )


def job_of(
    plan: Plan,
    stage: BoundStage,
    run: str,
    prepared: Prepared,
    needs: Mapping[str, IndexRecord],
    place: Staging,
    cancelled: Callable[[], bool] = lambda: False,
) -> Job:
    """The stage as a job that reads the outputs of these runs, or the plan's source where it needs none.

    `place` has the directories for its output, its temporary files and its log; the input is laid out beside
    its `scratch`.
    """
    url = "" if needs else plan.source.url
    directory, places = (
        (url, {}) if url else _lay_out(plan, needs, place.scratch.with_name("input"))
    )
    return Job(
        label=f"{plan.pipeline.name}:{stage.name}",
        component=stage.component,
        version=stage.version,
        run=run,
        prepared=prepared,
        arguments=arguments_of(stage),
        input=str(directory),
        places=places,
        output=place.output,
        scratch=place.scratch,
        log=place.log,
        # Whoever reads a URL needs the network for it.
        network=stage.spec.network or bool(url),
        resources=stage.resources,
        cancelled=cancelled,
    )


def arguments_of(stage: BoundStage) -> tuple[str, ...]:
    """The parameters as the component's command line takes them, sorted by name.

    A value that begins with a dash is joined to its flag, so that no parser takes it for a flag of its own.
    """
    arguments: list[str] = []
    for name, value in sorted(stage.parameters.items()):
        flag, text = "--" + name.replace("_", "-"), as_argument(value)
        arguments += [f"{flag}={text}"] if text.startswith("-") else [flag, text]
    return tuple(arguments)


def _lay_out(
    plan: Plan, needs: Mapping[str, IndexRecord], directory: Path
) -> tuple[Path, Mapping[str, Path]]:
    """The directory the stage reads, and where its parts really are.

    A single need's output is read in place; else `directory` is made and filled with links, one per need or
    source file.
    """
    outputs = {name: plan.store.output_path(record.location) for name, record in needs.items()}
    if len(outputs) == 1:
        [output] = outputs.values()
        return output, {"": output}
    directory.mkdir()
    for name, output in outputs.items():
        (directory / name).symlink_to(output)
    return directory, outputs or plan.source.files(directory)
