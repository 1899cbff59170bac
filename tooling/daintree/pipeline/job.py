"""A stage as a job for a runner: its environment, its arguments, its input laid out."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Mapping
from pathlib import Path

from daintree.components import ComponentVersion
from daintree.components.snapshot import make_snapshot
from daintree.pipeline.decisions import BoundStage
from daintree.pipeline.session import Session
from daintree.runners.runner import Job, Prepared, Runner
from daintree.settings import Settings
from daintree.spec.parameters import as_argument
from daintree.store.directory import Staging
from daintree.store.records import IndexRecord


def prepare(
    runner: Runner, version: ComponentVersion, settings: Settings, announce: Callable[[str], None]
) -> Prepared:
    """The environment that the runner runs the version in; its snapshot is made if the runner needs one.

    Raises EnvironmentFailed, VersionError.
    """
    return runner.prepare(version, lambda: make_snapshot(version, settings.snapshots), announce)


def job_of(
    session: Session,
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
    url = "" if needs else session.source.url
    directory, places = (
        (url, {}) if url else _lay_out(session, needs, place.scratch.with_name("input"))
    )
    return Job(
        label=f"{session.pipeline.name}:{stage.name}",
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
        env=stage.spec.env,
        object_store=url.startswith("s3://"),
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
    session: Session, needs: Mapping[str, IndexRecord], directory: Path
) -> tuple[Path, Mapping[str, Path]]:
    """The directory the stage reads, and where its parts really are.

    A single need's output is read in place; else `directory` is made and filled with links, one per need or
    source file.
    """
    outputs = {name: session.store.output_path(record) for name, record in needs.items()}
    if len(outputs) == 1:
        [output] = outputs.values()
        return output, {"": output}
    directory.mkdir()
    for name, output in outputs.items():
        (directory / name).symlink_to(output)
    return directory, outputs or session.source.files(directory)


def current_user() -> str:
    """Name of who runs this process, for records; "" where the machine does not say."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
