"""A service of what a pipeline's stage has written, on this machine, in its component's environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from daintree.errors import ArtifactDamaged, StoreError, UsageError
from daintree.manifest import RunManifest, index_record_of
from daintree.run.attached import Attached, run_attached
from daintree.run.planning import latest_run
from daintree.runners.protocol import Outcome
from daintree.settings import Settings
from daintree.store import open_store
from daintree.store.protocol import Store


def model_run(store: Store, service: Attached, run: str) -> RunManifest:
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
    service: Attached,
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
    served = model.run if run else f"{service.pipeline}:{service.stage}"
    return run_attached(
        settings, service.component, served, output, ("--store", store.url, *arguments), say
    )


def request_log(root: Path, service: Attached) -> Path:
    """The directory in which `doit serve` has the requests logged by default."""
    return root / "output" / "serve" / service.pipeline
