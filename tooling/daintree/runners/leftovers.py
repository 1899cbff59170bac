"""Containers that were left behind because the process that owned them was killed: found by label, removed."""

from __future__ import annotations

import platform
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from daintree.errors import EngineError
from daintree.image import labels
from daintree.image.engine import mapped
from daintree.runners.owner import has_died, read_owner, this_process, write_owner

if TYPE_CHECKING:
    from docker import DockerClient


def owner_label() -> dict[str, str]:
    """The label by which a container of this process is known as its own."""
    return {labels.OWNER: write_owner(this_process())}


def remove_leftovers(client: DockerClient) -> None:
    """Remove the containers whose owners have died; those of the living, and of other machines, stay.

    Of an earlier start of this machine, those are removed that no longer run. Raises as the SDK does.
    """
    for container in client.api.containers(all=True, filters={"label": labels.OWNER}):
        if _is_left(container):
            # Another process may be removing it just now.
            with suppress(EngineError), mapped("remove a container"):
                client.api.remove_container(container["Id"], force=True, v=True)


def _is_left(container: dict[str, Any]) -> bool:
    owner = read_owner(container["Labels"][labels.OWNER])
    if owner is None:
        return False
    died = has_died(owner)
    if died is None:
        return owner.machine == platform.node() and container["State"] == "exited"
    return died
