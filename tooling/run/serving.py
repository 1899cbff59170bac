"""A service of what a pipeline's stage has written, on this machine, in its component's environment."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from tooling.errors import ArtifactDamaged, SpecError, StoreError, UsageError
from tooling.manifest import RunManifest, index_record_of
from tooling.run.job import prepare_version
from tooling.run.planning import latest_run
from tooling.runners import open_runner
from tooling.runners.protocol import Job, Outcome
from tooling.settings import Settings
from tooling.spec.reader import read_component
from tooling.store import open_store
from tooling.store.protocol import Store
from tooling.suggest import nearest
from tooling.version import discover_components, read_versions
from tooling.version.discovery import TOP
from tooling.version.source import SPEC

# In a container a service has to publish its port, which no stage does: `docker run -p` does it.
RUNNER = "local"


class Service(msgspec.Struct, frozen=True):
    """A component that serves, and the stage whose output it serves."""

    component: str
    pipeline: str
    stage: str


def services(root: Path) -> list[Service]:
    """The components with `serves` in their component.yaml, sorted by name. Raises SpecError."""
    found = []
    for name in discover_components(root):
        where = f"{TOP}/{name}/{SPEC}"
        try:
            content = (root / where).read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise SpecError(f"{where}: cannot be read: {error.strerror}") from None
        serves = read_component(content, where).serves
        if serves:
            pipeline, _, stage = serves.partition(":")
            found.append(Service(name, pipeline, stage))
    return found


def find_service(root: Path, name: str) -> Service:
    """The service of this name, or the only one of the pipeline of this name.

    Raises UsageError where there is none or more than one.
    """
    known = services(root)
    found = [service for service in known if name in (service.component, service.pipeline)]
    if not found:
        names = sorted({each for s in known for each in (s.component, s.pipeline)})
        raise UsageError(
            f"there is no service of {name!r}",
            hint=nearest(name, names) or "a service names what it serves in its component.yaml",
        )
    if len(found) > 1:
        named = ", ".join(service.component for service in found)
        raise UsageError(f"{name} has several services: {named}", hint="name the one you mean")
    return found[0]


def model_run(store: Store, service: Service, run: str) -> RunManifest:
    """The run to be served: the one of this id, or ("") the stage's latest; its bytes are verified.

    Raises UsageError where there is none that succeeded, StoreError for one that is not whole.
    """
    stage = f"{service.pipeline}:{service.stage}"
    found = store.find_run(run) if run else latest_run(store, service.pipeline, service.stage)
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
    service: Service,
    run: str,
    output: Path,
    arguments: Sequence[str],
    say: Callable[[str], None],
) -> Outcome:
    """Run the service until it ends; `say` gets each line it says.

    It is given the run's id, or PIPELINE:STAGE, which a reload looks up anew, with the store to
    look in; `output` keeps its request log. When this call is left by an exception, an interrupt
    too, the service is asked to end, and is gone. Raises as `model_run` and as making its
    environment does.
    """
    store = open_store(settings)
    model = model_run(store, service, run)
    runner = open_runner(RUNNER, settings)
    version = read_versions(
        settings.root, [service.component], platform=settings.platform, bases=settings.bases
    )[service.component]
    prepared = prepare_version(runner, version, settings, say)
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="daintree-") as name:
        scratch = Path(name)
        job = Job(
            label=service.component,
            component=service.component,
            version=version.digest,
            run=model.run,
            prepared=prepared,
            arguments=("--store", store.url, *arguments),
            input=model.run if run else f"{service.pipeline}:{service.stage}",
            places={},
            output=output,
            scratch=scratch,
            log=scratch / "log.txt",
            network=True,
        )
        return runner.execute(job, say)
