"""`doit doctor`: whether this machine, or the cluster, has all that a runner needs, and what to do about what it lacks."""

from __future__ import annotations

import contextlib
import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from daintree.commands.command import DaintreeCommand, option, print_result, shared
from daintree.components import (
    ComponentVersion,
    WorkingTree,
    discover_components,
    read_each_version,
)
from daintree.errors import (
    MISSING,
    OK,
    Check,
    DaintreeError,
    RegistryUnavailable,
    StoreUnavailable,
    UsageError,
    checked,
    from_os_error,
    nearest,
)
from daintree.settings import Settings
from daintree.store.bucket import Bucket
from daintree.store.integrity import walk
from daintree.store.s3 import SCHEME, read_s3_access
from daintree.store.store import Store, open_store
from daintree.terminal import columns, count, size

_LOOPBACK = re.compile(r"localhost\b|127\.|\[::1\]")
_MADE_AGAIN = "nothing to do: the next run that needs one makes it again"
# Stages whose latest runs the doctor looks at.
MOST_STAGES = 100
START = {"store": "docker compose up -d minio", "registry": "docker compose up -d registry"}


class Services(DaintreeCommand):
    """Checks the services; exit code 1 when one that the settings name cannot be reached."""

    doc_usage = "[--make-bucket] [--json]"
    doc_description = (
        "Asks the artifact store, the image registry and the Docker engine for an answer. Nothing but a store in a bucket or a "
        "registry that the settings name has to be there: the local runner needs no service at all."
    )
    cmd_options = (
        option("make-bucket", "make the store's bucket if it is not there", type=bool),
        *shared("json"),
    )

    def work(self, options: Mapping[str, Any], names: list[str]) -> int:
        settings = self.settings
        if options["make-bucket"]:
            _make_bucket(settings)
        services = {
            settings.store: checked("store", lambda: ask_store(settings)),
            settings.registry: checked("registry", lambda: ask_registry(settings)),
            "Docker engine": checked("engine", ask_engine),
        }
        needed = [c for address, c in services.items() if address and c.name != "engine"]
        print_result(
            options["json"],
            lambda: {"services": _services_as_json(services)},
            lambda: services_table(services),
        )
        return 0 if all(check.state == OK for check in needed) else 1


def _services_as_json(services: Mapping[str, Check]) -> list[dict[str, object]]:
    return [
        {
            "name": check.name,
            "address": address,
            "reachable": check.state == OK,
            "problem": "" if check.state == OK else check.what,
            "hint": check.hint,
        }
        for address, check in services.items()
    ]


def ask_store(settings: Settings) -> str:
    """The artifact store's address once it has answered; one in a directory always answers. Raises DaintreeError."""
    if settings.store.startswith(SCHEME):
        access = read_s3_access()
        with _advice("store", access.endpoint):
            Bucket(settings.store, access).get_many(["_probe"])
    return settings.store


def ask_registry(settings: Settings) -> str:
    """The image registry's address once it has answered. Raises DaintreeError, also where none is set."""
    from daintree.images.registry import component_repository, open_registry

    registry = open_registry(settings.registry, plain_http=settings.registry_plain_http)
    if registry is None:
        raise UsageError("not set", hint="DAINTREE_REGISTRY names one")
    with _advice("registry", settings.registry):
        registry.digests([(component_repository(settings.registry, "services"), "none")])
    return settings.registry


def ask_engine() -> str:
    """The Docker engine, which only what needs it is told to start. Raises DaintreeError where it does not answer."""
    from daintree.images.engine import connect

    with contextlib.closing(connect()):
        return "Docker engine"


@contextlib.contextmanager
def _advice(name: str, address: str) -> Iterator[None]:
    """Say of a server that is away how to start it, where it would listen on this machine, else where to look."""
    try:
        yield
    except (StoreUnavailable, RegistryUnavailable) as error:
        hint = "" if "doit services" in error.hint else error.hint
        hint = hint or "check its address, and the way to it from here (network, VPN, firewall)"
        if _LOOPBACK.match(address.rpartition("//")[2]):
            hint = f"to start one: {START[name]}"
        raise DaintreeError(error.message, hint=hint) from None


def _make_bucket(settings: Settings) -> None:
    from daintree.store.contents import make_bucket

    if not settings.store.startswith(SCHEME):
        raise UsageError(
            f"the artifact store {settings.store} is in no bucket",
            hint="set DAINTREE_STORE, or store in pyproject.toml, to s3://bucket",
        )
    make_bucket(Bucket(settings.store, read_s3_access()))


def services_table(services: Mapping[str, Check]) -> list[str]:
    """A row for each service, by its address, with what is wrong below it."""
    rows = [
        [check.name, "ok" if check.state == OK else "-", address or "-"]
        for address, check in services.items()
    ]
    shown = []
    for line, check in zip(columns(rows, indent=""), services.values(), strict=True):
        shown.append(line)
        if check.state != OK:
            shown += [f"  {check.what}", *([f"  hint: {check.hint}"] if check.hint else [])]
    return shown


class Doctor(DaintreeCommand):
    """Checks all that a runner needs; exit code 1 when something is missing."""

    doc_usage = "[--runner local|docker|argo] [--json]"
    doc_description = (
        "Looks at each thing by itself, so that all that is missing is said at once. With --runner argo it also looks at the cluster: what "
        "deploy/argo makes there, the artifact repository against the settings, the secret's keys (their values are not shown), and "
        "your rights. What your account may not look at is said, and is no error."
    )
    cmd_options = (
        option("runner", "the runner that is to work (default: the setting `runner`)"),
        *shared("namespace", "json"),
    )

    def work(self, options: Mapping[str, Any], names: list[str]) -> int:
        runner = options["runner"] or self.settings.runner
        if runner not in CHECKS:
            raise UsageError(f"there is no runner {runner!r}", hint=nearest(runner, list(CHECKS)))
        namespace = options["namespace"] or self.settings.argo_namespace
        checks = list(CHECKS[runner](self.settings, namespace))
        print_result(
            options["json"],
            lambda: {"runner": runner, "checks": [check._asdict() for check in checks]},
            lambda: _table(checks),
        )
        return 1 if any(check.state == MISSING for check in checks) else 0


def _local(settings: Settings, namespace: str) -> Iterator[Check]:
    yield from _project(settings)
    yield checked("uv", _uv)
    yield checked("environments", lambda: _environments(settings.environments))
    yield checked("store", lambda: _writable(settings))
    yield from _local_state(settings)


def _docker(settings: Settings, namespace: str) -> Iterator[Check]:
    yield from _project(settings)
    yield checked("store", lambda: _writable(settings))
    yield checked("engine", ask_engine)
    if settings.registry:
        yield checked("registry", lambda: ask_registry(settings))
    yield from _local_state(settings)


def _argo(settings: Settings, namespace: str) -> Iterator[Check]:
    yield from _project(settings)
    extra = checked("extra", _extra)
    yield extra
    yield checked("store", lambda: _shared(settings))
    yield checked("registry", lambda: _registry(settings))
    yield from _other_buckets(settings)
    if extra.state == OK:
        yield from _cluster(settings, namespace)


def _other_buckets(settings: Settings) -> Iterator[Check]:
    """A line for each source in another bucket than the store's: the right that the key in the cluster's secret needs."""
    from daintree.argo.names import STORE_SECRET
    from daintree.spec.pipeline import load_pipeline, pipeline_files

    store = settings.store.removeprefix(SCHEME).partition("/")[0]
    for name in pipeline_files(settings.root):
        try:
            sources = load_pipeline(settings.root, name, ()).sources
        except DaintreeError:
            continue
        for location in [source.location for source in sources.values()]:
            bucket = location.removeprefix(SCHEME).partition("/")[0]
            if location.startswith(SCHEME) and bucket != store:
                rights = f"s3:GetObject and s3:ListBucket on {bucket}"
                yield Check(f"source of {name}", "ok", f"the key in {STORE_SECRET} needs {rights}")


CHECKS: dict[str, Callable[[Settings, str], Iterator[Check]]] = {
    "local": _local,
    "docker": _docker,
    "argo": _argo,
}


def _project(settings: Settings) -> Iterator[Check]:
    from daintree.components.git import git

    yield Check("python", "ok", platform.python_version())
    yield checked(
        "git", lambda: git(settings.root, "rev-parse", "--show-toplevel").decode().strip()
    )


def _uv() -> str:
    from daintree.runners.uv import uv_program

    return uv_program()


def _extra() -> str:
    from daintree.argo.cluster import require_client

    require_client()
    return "kubernetes is installed"


def _environments(directory: Path) -> str:
    """Check that environments have the files that they were made with. Raises DaintreeError where one has not."""
    from daintree.runners.environments import Environments

    _require_directory(directory)
    try:
        made, broken = Environments(directory).broken()
    except OSError as error:
        raise from_os_error(error) from None
    if broken:
        raise DaintreeError(
            f"{len(broken)} of {made} in {directory} have lost files: {broken[0]}", hint=_MADE_AGAIN
        )
    return f"{made} in {directory}, all whole"


def _local_state(settings: Settings) -> Iterator[Check]:
    """Check what earlier runs have left on this machine: snapshots, the cache and runs."""
    yield checked("snapshots", lambda: _snapshots(settings))
    if settings.store.startswith(SCHEME):
        yield checked("cache", lambda: _directory_state(settings.cache, "entry"))
    yield checked("runs", lambda: _runs(settings), unknown=DaintreeError)


def _snapshots(settings: Settings) -> str:
    """Check that the snapshots of the components as they are now hold what they are named after. Raises DaintreeError."""
    from daintree.components.snapshot import changed_snapshots

    state = _directory_state(settings.snapshots, "snapshot")
    names = discover_components(settings.root)
    if not names:
        return state
    results = read_each_version(
        WorkingTree(settings.root), names, platform=settings.platform, bases=settings.bases
    )
    versions = [version for version in results.values() if isinstance(version, ComponentVersion)]
    changed = changed_snapshots(versions, settings.snapshots)
    if changed:
        raise DaintreeError(
            f"{state}, and {len(changed)} of the components' changed since it was made: {changed[0]}",
            hint=_MADE_AGAIN,
        )
    return state


def _directory_state(directory: Path, noun: str) -> str:
    """Number and size of a directory's entries. Raises DaintreeError where it cannot be read or written."""
    _require_directory(directory)
    if not directory.exists():
        return f"{directory}: not made yet"
    try:
        entries = len([name for name in os.listdir(directory) if not name.startswith("_")])
        held = sum(status.st_size for _, status in walk(str(directory)))
    except OSError as error:
        raise from_os_error(error) from None
    return f"{directory}: {count(entries, noun)}, {size(held)}"


def _require_directory(directory: Path) -> None:
    """Raise DaintreeError for what stands at a directory's place and is none, or cannot be read or written."""
    if not os.path.lexists(directory):
        return
    for access, verb in ((os.R_OK | os.X_OK, "read"), (os.W_OK, "written")):
        if not directory.is_dir() or not os.access(directory, access):
            raise DaintreeError(
                f"{directory} cannot be {verb}", hint="check what it is, and its permissions"
            )


def _runs(settings: Settings) -> str:
    """Check that outputs and logs of the latest runs are as they were published. Raises DaintreeError where one is not."""
    store = open_store(settings)
    faults, looked = [], 0
    for pipeline, stage in store.records.stages_with_history()[:MOST_STAGES]:
        for entry in islice(store.history(pipeline, stage), 1):
            looked += 1
            fault = _run_fault(store, entry.location)
            faults += [f"{pipeline}:{stage}: {fault}"] if fault else []
    if faults:
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise DaintreeError(
            f"of {count(looked, 'latest run')}, {faults[0]}{more}",
            hint="`doit run PIPELINE` computes or fetches damaged outputs again; a stage's next run writes its own log",
        )
    return f"{count(looked, 'stage')}: the latest run's output and log are whole"


def _run_fault(store: Store, location: str) -> str:
    """The damage of a run's record, log and, where it is on this machine, output; "" for none. Raises StoreError."""
    run = store.read_run(location)
    if run is None:
        return "its run record is missing or damaged"
    fault = store.log_fault(run)
    if fault or run.output is None:
        return fault
    [record] = store.lookup([run.keys.content])
    local = store.shared is None or os.path.isdir(store.local.path(location))
    if record is None or record.location != location or not local:
        return ""
    damage = store.local.damage(record)
    return damage.message if damage else ""


def _writable(settings: Settings) -> str:
    """The store, in which a place was made and removed. A bucket is asked as well."""
    address = ask_store(settings)
    try:
        with open_store(settings).stage(f"doctor-{os.urandom(8).hex()}"):
            return address
    except OSError as error:
        raise from_os_error(error) from None


def _shared(settings: Settings) -> str:
    """The store, which pods reach and in which this key may write."""
    published = open_store(settings).published
    address = ask_store(settings)
    published.bucket.prove()
    return address


def _registry(settings: Settings) -> str:
    if not settings.registry:
        raise UsageError(
            "pods pull their images from a registry, and none is set",
            hint="registry in [tool.daintree], or DAINTREE_REGISTRY, such as registry.example/ml",
        )
    return ask_registry(settings)


def _cluster(settings: Settings, namespace: str) -> Iterator[Check]:
    from daintree.argo.checks import check_cluster
    from daintree.argo.cluster import open_cluster
    from daintree.argo.manifest import cluster_access
    from daintree.images.image_versions import tooling_image
    from daintree.store.s3 import ObjectAddress

    stores: list[ObjectAddress] = []

    def reachable() -> str:
        stores.append(cluster_access(settings, "", namespace).store)
        return stores[0].endpoint or "AWS S3"

    yield checked("tooling image", lambda: tooling_image(settings))
    if settings.store.startswith(SCHEME):
        yield checked("argo_endpoint", reachable)
    try:
        cluster = open_cluster(namespace)
    except DaintreeError as error:
        yield Check("cluster", "missing", error.message, error.hint)
        return
    yield from check_cluster(cluster, settings, next(iter(stores), None))


def _table(checks: list[Check]) -> list[str]:
    rows = [[check.name, check.state, check.what] for check in checks]
    shown = []
    for line, check in zip(columns(rows, indent=""), checks, strict=True):
        shown.append(line)
        if check.state != OK and check.hint:
            shown.append(f"  hint: {check.hint}")
    return shown
