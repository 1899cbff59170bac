"""`doit doctor`: whether this machine, or the cluster, has all that a runner needs, and what to do about what it lacks."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from daintree.check import MISSING, OK, Check, checked
from daintree.errors import DaintreeError, UsageError
from daintree.report.text import columns
from daintree.settings import Settings
from daintree.store.bucket import SCHEME
from daintree.suggest import nearest
from daintree.tasks.command import JSON_OPTION, DaintreeCommand, foreign, option, print_json
from daintree.tasks.names import COMMANDS
from daintree.tasks.ordered import NAMESPACE, require_extra
from daintree.tasks.services import Service, ask_engine, ask_registry, ask_store


class Doctor(DaintreeCommand):
    """Checks all that a runner needs; exit code 1 when something is missing."""

    doc_purpose = COMMANDS["doctor"]
    doc_usage = "[--runner local|docker|argo] [--json]"
    doc_description = (
        "Looks at each thing by itself, so that all that is missing is said at once. With --runner argo it also looks at the cluster: what "
        "deploy/argo makes there, the artifact repository against the settings, the secret's keys (their values are not shown), and "
        "your rights. What your account may not look at is said, and is no error."
    )
    cmd_options = (
        option("runner", "the runner that is to work (default: the setting `runner`)"),
        NAMESPACE,
        JSON_OPTION,
    )

    def work(self, options: Mapping[str, Any], names: list[str]) -> int:
        """Check one thing after the other, and print."""
        runner = options["runner"] or self.settings.runner
        if runner not in CHECKS:
            raise UsageError(f"there is no runner {runner!r}", hint=nearest(runner, list(CHECKS)))
        namespace = options["namespace"] or self.settings.argo_namespace
        checks = list(CHECKS[runner](self.settings, namespace))
        if options["json"]:
            print_json({"runner": runner, "checks": msgspec.to_builtins(checks)})
        else:
            print("\n".join(_table(checks)))
        return 1 if any(check.state == MISSING for check in checks) else 0


def _local(settings: Settings, namespace: str) -> Iterator[Check]:
    yield from _project(settings)
    yield checked("uv", _uv)
    yield checked("store", lambda: _writable(settings))


def _docker(settings: Settings, namespace: str) -> Iterator[Check]:
    yield from _project(settings)
    yield checked("store", lambda: _writable(settings))
    yield _of_service(ask_engine())
    if settings.registry:
        yield _of_service(ask_registry(settings))


def _argo(settings: Settings, namespace: str) -> Iterator[Check]:
    yield from _project(settings)
    extra = checked("extra", _extra)
    yield extra
    yield checked("store", lambda: _shared(settings))
    yield checked("registry", lambda: _registry(settings))
    if extra.state == OK:
        yield from _cluster(settings, namespace)


CHECKS: dict[str, Callable[[Settings, str], Iterator[Check]]] = {
    "local": _local,
    "docker": _docker,
    "argo": _argo,
}


def _project(settings: Settings) -> Iterator[Check]:
    from daintree.git.plumbing import git

    yield Check("python", "ok", platform.python_version())
    yield checked(
        "git", lambda: git(settings.root, "rev-parse", "--show-toplevel").decode().strip()
    )


def _uv() -> str:
    from daintree.runners.uv_command import uv_program

    return uv_program()


def _extra() -> str:
    require_extra()
    return "hera and kubernetes are installed"


def _writable(settings: Settings) -> str:
    """The store, in which a place was made and removed. A bucket is asked as well."""
    from daintree.store import open_store

    service = ask_store(settings)
    if not service.reachable:
        raise DaintreeError(service.problem, hint=service.hint)
    try:
        with open_store(settings).stage(f"doctor-{os.urandom(8).hex()}"):
            return settings.store
    except OSError as error:
        raise foreign(error) from None


def _shared(settings: Settings) -> str:
    """The store, which pods reach and in which this key may write."""
    from daintree.s3_access import read_s3_access
    from daintree.store.bucket import Bucket
    from daintree.store.reach import prove

    if not settings.store.startswith(SCHEME):
        raise UsageError(
            f"the artifact store {settings.store} is on this machine, where no pod can reach it",
            hint="set DAINTREE_STORE, or store in pyproject.toml, to s3://bucket",
        )
    service = ask_store(settings)
    if not service.reachable:
        raise DaintreeError(service.problem, hint=service.hint)
    prove(Bucket(settings.store, read_s3_access()))
    return settings.store


def _registry(settings: Settings) -> str:
    if not settings.registry:
        raise UsageError(
            "pods pull their images from a registry, and none is set",
            hint="registry in [tool.daintree], or DAINTREE_REGISTRY, such as registry.example/ml",
        )
    service = ask_registry(settings)
    if not service.reachable:
        raise DaintreeError(service.problem, hint=service.hint)
    return settings.registry


def _cluster(settings: Settings, namespace: str) -> Iterator[Check]:
    from daintree.argo.cluster_access import cluster_access
    from daintree.argo.cluster_checks import check_cluster
    from daintree.argo.tooling_image import tooling_image
    from daintree.cluster.connect import open_cluster
    from daintree.s3_access import read_s3_access

    endpoints: list[str] = []

    def reachable() -> str:
        endpoints.append(cluster_access(settings, read_s3_access(), "", namespace).endpoint)
        return endpoints[0] or "AWS S3"

    yield checked("tooling image", lambda: tooling_image(settings))
    if settings.store.startswith(SCHEME):
        yield checked("argo_endpoint", reachable)
    try:
        cluster = open_cluster()
    except DaintreeError as error:
        yield Check("cluster", "missing", error.message, error.hint)
        return
    yield from check_cluster(cluster, namespace, settings, "".join(endpoints))


def _of_service(service: Service) -> Check:
    if service.reachable:
        return Check(service.name, "ok", service.address)
    return Check(service.name, "missing", service.problem, service.hint)


def _table(checks: list[Check]) -> list[str]:
    rows = [[check.name, check.state, check.what] for check in checks]
    shown = []
    for line, check in zip(columns(rows, indent=""), checks, strict=True):
        shown.append(line)
        if check.state != OK and check.hint:
            shown.append(f"  hint: {check.hint}")
    return shown
