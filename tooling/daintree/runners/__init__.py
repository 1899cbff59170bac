"""Runners: what executes a stage, behind one Protocol."""

from __future__ import annotations

from collections.abc import Callable

from daintree.errors import UsageError, nearest
from daintree.runners.runner import Runner
from daintree.settings import Settings


def open_runner(name: str, settings: Settings) -> Runner:
    """The runner of this name; nothing is connected to before it is used.

    Raises UsageError for a name that is none.
    """
    known = {**RUNNERS, **CLUSTERS}
    if name not in known:
        raise UsageError(f"there is no runner {name!r}", hint=nearest(name, list(known)))
    return known[name](settings)


def _local(settings: Settings) -> Runner:
    from daintree.runners.local import LocalRunner

    return LocalRunner(settings)


def _docker(settings: Settings) -> Runner:
    from daintree.runners.docker import DockerRunner

    return DockerRunner(settings)


def _argo(settings: Settings) -> Runner:
    from daintree.runners.docker import ArgoRunner

    return ArgoRunner()


# Those that execute stages on this machine, and those that take whole pipelines elsewhere.
RUNNERS: dict[str, Callable[[Settings], Runner]] = {"local": _local, "docker": _docker}
CLUSTERS: dict[str, Callable[[Settings], Runner]] = {"argo": _argo}


def with_python(environment: str, version: str) -> str:
    """The environment class of a component that asks for a Python ("": for none) on a machine that has this class; `image` has no other."""
    kind, dash, rest = environment.partition("-")
    return f"{kind}-{version}-{rest.partition('-')[2]}" if dash and version else environment
