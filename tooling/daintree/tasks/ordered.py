"""The order that a command hands to a cluster, as its options ask for it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from daintree.errors import UsageError
from daintree.settings import Settings
from daintree.tasks.command import option
from daintree.tasks.planned import planned

if TYPE_CHECKING:
    from daintree.argo.cluster_access import ClusterAccess
    from daintree.argo.order import Order

NAMESPACE = option(
    "namespace", "the namespace in the cluster (default: the setting `argo_namespace`)"
)
INSTALL = "pip install 'daintree[argo]'"


def ordered(settings: Settings, pipeline: str, options: Mapping[str, Any]) -> Order:
    """The order for what the pipeline misses, with the options `source`, `set` and `force`.

    A hit that only this machine has is published first. Raises as `make_plan` and `order_of` do, UsageError where the
    extra is not installed.
    """
    require_extra()
    begin_import()
    from daintree.argo.hand_over import share_hits
    from daintree.argo.order import order_of

    options = {**options, "runner": "argo"}
    plan = planned(settings, pipeline, options, force=options["force"], fetch=True)
    if share_hits(plan):
        plan = planned(settings, pipeline, options, force=options["force"], fetch=True)
    return order_of(plan)


def access_of(settings: Settings, namespace: str) -> ClusterAccess:
    """What manifests for this cluster say of it. Raises as `cluster_access` and `tooling_image` do."""
    from daintree.argo.cluster_access import cluster_access
    from daintree.argo.tooling_image import tooling_image
    from daintree.s3_access import read_s3_access

    return cluster_access(settings, read_s3_access(), tooling_image(settings), namespace)


def require_extra() -> None:
    """Raise UsageError, with the command that installs it, where what writes manifests is missing."""
    import importlib.util

    if importlib.util.find_spec("hera") is None:
        raise UsageError("hera, which writes Workflows, is not installed", hint=INSTALL)


def begin_import() -> None:
    """Import hera on a thread of its own, while the plan waits for git, the store and the registry.

    Its hundreds of models take longer to import than everything else a command does; making them leaves no garbage, for
    which the collector would look again and again.
    """
    import gc
    import threading

    def work() -> None:
        try:
            import hera.workflows  # noqa: F401
        finally:
            gc.enable()

    gc.disable()
    threading.Thread(target=work, daemon=True).start()


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr)
