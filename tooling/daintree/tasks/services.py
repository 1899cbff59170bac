"""`doit services`: which of the services that the settings name can be reached, and how to start those that cannot."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from daintree.errors import DaintreeError, RegistryUnavailable, StoreUnavailable, UsageError
from daintree.report.text import columns
from daintree.settings import Settings
from daintree.store.bucket import SCHEME
from daintree.tasks.command import JSON_OPTION, DaintreeCommand, option, print_json
from daintree.tasks.names import COMMANDS

START = {
    "store": "docker compose up -d minio",
    "registry": "docker compose up -d registry",
}


class Service(msgspec.Struct, frozen=True):
    """One service: where it is, whether it answers, and what is wrong and what to do where it does not."""

    name: str
    address: str
    reachable: bool
    problem: str = ""
    hint: str = ""


class Services(DaintreeCommand):
    """Checks the services; exit code 1 when one that the settings name cannot be reached."""

    doc_purpose = COMMANDS["services"]
    doc_usage = "[--make-bucket] [--json]"
    doc_description = (
        "Asks the artifact store, the image registry and the Docker engine for an answer. Nothing but a store in a bucket or a "
        "registry that the settings name has to be there: the local runner needs no service at all."
    )
    cmd_options = (
        option("make-bucket", "make the store's bucket if it is not there", type=bool),
        JSON_OPTION,
    )

    def work(self, options: Mapping[str, Any], names: list[str]) -> int:
        """Ask each and say what it answered."""
        settings = self.settings
        if options["make-bucket"]:
            _make_bucket(settings)
        services = [ask_store(settings), ask_registry(settings), ask_engine()]
        if options["json"]:
            print_json({"services": msgspec.to_builtins(services)})
        else:
            print("\n".join(_table(services)))
        needed = [service for service in services if service.address and service.name != "engine"]
        return 0 if all(service.reachable for service in needed) else 1


def ask_store(settings: Settings) -> Service:
    """The artifact store; one in a directory always answers."""
    if not settings.store.startswith(SCHEME):
        return Service("store", settings.store, True)

    def ask() -> None:
        from daintree.s3_access import read_s3_access
        from daintree.store.bucket import Bucket

        Bucket(settings.store, read_s3_access()).get(["_probe"])

    return _asked("store", settings.store, ask)


def ask_registry(settings: Settings) -> Service:
    """The image registry."""
    if not settings.registry:
        return Service("registry", "", False, "not set", "DAINTREE_REGISTRY names one")

    def ask() -> None:
        from daintree.image.reference import component_repository
        from daintree.image.registry import open_registry

        registry = open_registry(settings.registry, plain_http=settings.registry_plain_http)
        if registry:
            registry.digests([(component_repository(settings.registry, "services"), "none")])

    return _asked("registry", settings.registry, ask)


def ask_engine() -> Service:
    """The Docker engine, which only what needs it is told to start."""

    def ask() -> None:
        from daintree.image.engine import connect

        with contextlib.closing(connect()):
            pass

    return _asked("engine", "Docker engine", ask)


def _asked(name: str, address: str, ask: Callable[[], None]) -> Service:
    try:
        ask()
    except (StoreUnavailable, RegistryUnavailable) as error:
        return Service(name, address, False, error.message, f"to start one: {START[name]}")
    except DaintreeError as error:
        return Service(name, address, False, error.message, error.hint)
    return Service(name, address, True)


def _make_bucket(settings: Settings) -> None:
    from daintree.s3_access import read_s3_access
    from daintree.store.bucket import Bucket
    from daintree.store.bucket_admin import make_bucket

    if not settings.store.startswith(SCHEME):
        raise UsageError(
            f"the artifact store {settings.store} is in no bucket",
            hint="set DAINTREE_STORE, or store in pyproject.toml, to s3://bucket",
        )
    make_bucket(Bucket(settings.store, read_s3_access()))


def _table(services: list[Service]) -> list[str]:
    lines = columns(
        [
            [service.name, "ok" if service.reachable else "-", service.address or "-"]
            for service in services
        ],
        indent="",
    )
    shown = []
    for line, service in zip(lines, services, strict=True):
        shown.append(line)
        if not service.reachable:
            shown += [f"  {service.problem}", f"  hint: {service.hint}"]
    return shown
