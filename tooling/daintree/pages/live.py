"""Stages that are being computed now: on this machine with the last lines of their logs, on others by their leases."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from daintree.store.contents import holders
from daintree.store.directory import Staging
from daintree.store.layout import STAGING
from daintree.store.records import Holder
from daintree.store.store import Store

TAIL_BYTES, TAIL_LINES = 8 << 10, 30


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A stage that is being computed: who does it since when, and, where that is this machine, its run and its last lines."""

    stage: str
    user: str
    host: str
    since: str
    here: bool
    run: str = ""
    lines: tuple[str, ...] = ()


def running(store: Store, pipeline: str) -> list[Running]:
    """The stages of a pipeline that are being computed now, as far as the store tells. Raises StoreError."""
    own = holders(store.local.directory)
    keys = {holder.key for holder in own}
    other = [h for h in holders(store.backend) if h.key not in keys] if store.shared else []
    logs = _logs(store)
    current = [_running(holder, logs) for holder in own if holder.pipeline == pipeline]
    current += [_running(holder, None) for holder in other if holder.pipeline == pipeline]
    return sorted(current, key=lambda each: (each.since, each.stage))


def _running(holder: Holder, logs: dict[str, Staging] | None) -> Running:
    staging = logs.get(holder.key) if logs else None
    return Running(
        stage=holder.stage,
        user=holder.user,
        host=holder.host,
        since=holder.since,
        here=logs is not None,
        run=staging.directory.name if staging else "",
        lines=_tail(staging.log) if staging else (),
    )


def _logs(store: Store) -> dict[str, Staging]:
    """The staging directories by the content key that is being computed in them."""
    directories: dict[str, Staging] = {}
    for directory in sorted(Path(store.directory, STAGING).glob("*/")):
        staging = Staging(directory)
        with suppress(OSError, UnicodeDecodeError):
            directories[staging.key.read_text(encoding="ascii")] = staging
    return directories


def _tail(log: Path) -> tuple[str, ...]:
    """The last whole lines of a log that may be growing."""
    try:
        with open(log, "rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            content = file.read()
    except OSError:
        return ()
    text = content[: content.rfind(b"\n") + 1].decode("utf-8", "replace")
    return tuple(text.splitlines()[-TAIL_LINES:])
