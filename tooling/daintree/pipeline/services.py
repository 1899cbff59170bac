"""Components that are no stages but work beside a pipeline, on what one of its stages has written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from daintree.components import SPEC, TOP, discover_components, read_versions
from daintree.errors import (
    ArtifactDamaged,
    DaintreeError,
    SpecError,
    StageFailed,
    StoreError,
    UsageError,
)
from daintree.pipeline.addresses import Address, named_run
from daintree.pipeline.job import prepare
from daintree.runners import open_runner
from daintree.runners.runner import Job, Outcome
from daintree.settings import Settings
from daintree.spec.validation import read_component
from daintree.store.records import RunManifest, index_record_of
from daintree.store.store import Store, open_store
from daintree.terminal import nearest

# In a container a service has to publish its port, which no stage does: `docker run -p` does it.
RUNNER = "local"

# The key of component.yaml that attaches a component to a stage.
Role = Literal["serves", "monitors"]
WORDS: dict[Role, str] = {"serves": "service", "monitors": "monitor"}


class Attached(msgspec.Struct, frozen=True):
    """A component, and the stage whose output it serves or monitors."""

    component: str
    pipeline: str
    stage: str


def attached(root: Path, role: Role) -> list[Attached]:
    """The components with this role in their component.yaml, sorted by name. Raises SpecError."""
    found = []
    for name in discover_components(root):
        where = f"{TOP}/{name}/{SPEC}"
        try:
            content = (root / where).read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise SpecError(f"{where}: cannot be read: {error.strerror}") from None
        target = getattr(read_component(content, where), role)
        if target:
            pipeline, _, stage = target.partition(":")
            found.append(Attached(name, pipeline, stage))
    return found


def find_attached(root: Path, role: Role, name: str) -> Attached:
    """The component of this name with this role, or the only one of the pipeline, or PIPELINE:STAGE, of this name.

    Raises UsageError where there is none or more than one.
    """
    known = attached(root, role)
    word = WORDS[role]
    found = [e for e in known if name in (e.component, e.pipeline, f"{e.pipeline}:{e.stage}")]
    if not found:
        names = sorted({each for a in known for each in (a.component, a.pipeline)})
        raise UsageError(
            f"there is no {word} of {name!r}",
            hint=nearest(name, names) or f"a {word} names what it {role} in its component.yaml",
        )
    if len(found) > 1:
        named = ", ".join(each.component for each in found)
        raise UsageError(f"{name} has several {word}s: {named}", hint="name the one you mean")
    return found[0]


def run_attached(
    settings: Settings,
    component: str,
    input: str,
    output: Path,
    arguments: Sequence[str],
    say: Callable[[str], None],
) -> Outcome:
    """Run such a component to its end in its environment on this machine; `say` gets each line it says.

    `output` is made if it is missing. When this call is left by an exception, an interrupt too, the component is
    asked to end, and is gone. Raises as making its environment does.
    """
    runner = open_runner(RUNNER, settings)
    version = read_versions(
        settings.root, [component], platform=settings.platform, bases=settings.bases
    )[component]
    prepared = prepare(runner, version, settings, say)
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="daintree-") as name:
        scratch = Path(name)
        job = Job(
            label=component,
            component=component,
            version=version.digest,
            run="",
            prepared=prepared,
            arguments=tuple(arguments),
            input=input,
            places={},
            output=output,
            scratch=scratch,
            log=scratch / "log.txt",
            network=True,
            env=version.spec.env,
            # The store that it reads may be a bucket.
            object_store=any(argument.startswith("s3://") for argument in arguments),
        )
        return runner.execute(job, say)


def model_run(store: Store, service: Attached, run: str, name: str = "") -> RunManifest:
    """The run to be served: the one of this id, the one that has the `name`, or else the stage's latest; its bytes are verified.

    Raises UsageError where there is none that succeeded, StoreError for one that is not whole.
    """
    stage = f"{service.pipeline}:{service.stage}"
    if name:
        found: RunManifest | None = named_run(store, Address(service.pipeline, service.stage, name))
    else:
        found = store.find_run(run) if run else store.latest_run(service.pipeline, service.stage)
    if found is None:
        what = f"there is no run {run!r}" if run else f"no run of {stage} is recorded"
        raise UsageError(what, hint=f"doit run {service.pipeline}")
    if found.result != "succeeded":
        raise UsageError(
            f"run {found.run} of {stage} failed: {found.failure}",
            hint=f"doit run {service.pipeline}",
        )
    try:
        store.check(index_record_of(found), thorough=True)
    except ArtifactDamaged as damage:
        raise StoreError(
            f"the output of run {found.run}: {damage.message}",
            hint=f"doit run {service.pipeline} repairs it",
        ) from None
    return found


def serve(
    settings: Settings,
    service: Attached,
    run: str,
    output: Path,
    arguments: Sequence[str],
    say: Callable[[str], None],
    *,
    name: str = "",
) -> Outcome:
    """Run the service until it ends; `say` gets each line it says.

    It is given the run's id, or PIPELINE:STAGE[@NAME], which a reload looks up anew, with the store to
    look in; `output` keeps its request log. When this call is left by an exception, an interrupt
    too, the service is asked to end, and is gone. Raises as `model_run` and as making its
    environment does.
    """
    store = open_store(settings)
    model = model_run(store, service, run, name)
    latest = str(Address(service.pipeline, service.stage, name))
    served = model.run if run else latest
    return run_attached(
        settings, service.component, served, output, ("--store", store.url, *arguments), say
    )


def request_log(root: Path, service: Attached) -> Path:
    """The directory in which `doit serve` has the requests logged by default."""
    return root / "output" / "serve" / service.pipeline


# What a monitor writes into its output, for people and for programs.
REPORT_TEXT, REPORT_JSON = "report.txt", "report.json"
# What it ends with when something is to be looked at: neither success nor an error, after which nothing is known.
ALERT = 2


class Report(msgspec.Struct, frozen=True):
    """Report of a monitor: as text, as JSON, and whether it calls for somebody."""

    text: str
    json: str
    alert: bool


def monitor(
    settings: Settings,
    monitored: Attached,
    run: str,
    output: Path,
    arguments: Sequence[str],
    say: Callable[[str], None],
    *,
    name: str = "",
) -> Report | None:
    """Run the monitor and read its report from `output`; `say` gets each line it says.

    It is given the id of the run, of that which has the `name`, or PIPELINE:STAGE, which is the run that answered last, and the store to look in.
    None where the monitor itself has said why it cannot judge. Raises UsageError for an unknown run, StageFailed
    when it does not end as a monitor does, and as making its environment does.
    """
    store = open_store(settings)
    if name:
        model = named_run(store, Address(monitored.pipeline, monitored.stage, name)).run
    elif run:
        found = store.find_run(run)
        if found is None:
            raise UsageError(f"there is no run {run!r}", hint="`doit history` lists the runs")
        model = found.run
    else:
        model = f"{monitored.pipeline}:{monitored.stage}"
    outcome = run_attached(
        settings, monitored.component, model, output, ("--store", store.url, *arguments), say
    )
    if outcome.exit_code == DaintreeError.exit_code:
        return None
    if outcome.exit_code not in (0, ALERT):
        raise StageFailed(f"{monitored.component} ended with exit code {outcome.exit_code}")
    try:
        text, json = ((output / name).read_text("utf-8") for name in (REPORT_TEXT, REPORT_JSON))
    except FileNotFoundError as error:
        raise StageFailed(
            f"{monitored.component} did not write {Path(error.filename).name}",
            hint="a monitor writes a report for people and one for programs",
        ) from None
    return Report(text, json, outcome.exit_code == ALERT)
