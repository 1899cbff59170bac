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
from daintree.spec.component import as_argument
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
    """The stage as a job that reads the outputs of these runs and the sources that it names.

    `place` has the directories for its output, its temporary files and its log; the input is laid out beside
    its `scratch`.
    """
    url = _url_of(session, stage)
    directory, places = (
        (url, {}) if url else _lay_out(session, stage, needs, place.scratch.with_name("input"))
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


def _url_of(session: Session, stage: BoundStage) -> str:
    """URL that the stage reads by itself: that of its one input, where that is a source in a bucket; else ""."""
    alone = len(stage.sources) == 1 and not stage.needs
    return session.sources[stage.sources[0]].url if alone else ""


def _lay_out(
    session: Session, stage: BoundStage, needs: Mapping[str, IndexRecord], directory: Path
) -> tuple[Path, Mapping[str, Path]]:
    """The directory the stage reads, and where its parts really are.

    A single need's output is read in place; else `directory` is made, with one subdirectory for each of several inputs: a link
    to a need's output, a source's files. It is empty for a stage that reads nothing.
    """
    outputs = {name: session.store.output_path(record) for name, record in needs.items()}
    if len(outputs) == 1 and not stage.sources:
        [output] = outputs.values()
        return output, {"": output}
    directory.mkdir()
    places = dict(outputs)
    for name, output in outputs.items():
        (directory / name).symlink_to(output)
    alone = len(stage.sources) == 1 and not needs
    for name in stage.sources:
        target = directory if alone else directory / name
        target.mkdir(exist_ok=True)
        below = "" if alone else f"{name}/"
        for part, place in session.sources[name].files(target).items():
            places[f"{below}{part}".rstrip("/")] = place
    return directory, places or {"": directory}


def current_user() -> str:
    """Name of who runs this process, for records; "" where the machine does not say."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
