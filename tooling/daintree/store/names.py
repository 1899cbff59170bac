"""Names of runs: `production`, `baseline`. A name leads to one run of each stage of its pipeline that has one; the runs are roots, and are kept.

Each name is one record, which is replaced as a whole: so all its stages move at once, and of two people who move it from the
same state one learns of the other. A removed name is a record without runs: its moves stay to be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from daintree.errors import StoreForbidden
from daintree.store import layout
from daintree.store.backend import SMALL_RECORD_BYTES, Unreadable
from daintree.store.index import Records
from daintree.store.records import NameChange, NamedRun, NameRecord, decode, encode

if TYPE_CHECKING:
    from daintree.store.cache import Availability

# The oldest moves are forgotten before a record is too large to be read.
MOST_CHANGES = 1000
NAME_BYTES = SMALL_RECORD_BYTES // 2


class Names:
    """The names in one store. Every method raises StoreError as the store does."""

    def __init__(self, records: Records, own: Records, availability: Availability | None) -> None:
        """`records` are read, `own` written: those of the store itself, without a cache; `availability` is that of a bucket."""
        self._records, self._own, self._availability = records, own, availability

    def read(self, pipeline: str, name: str) -> NameRecord | None:
        """The record of a name, one that was removed too; None, and a warning, where it is not readable."""
        return self._records.read(NameRecord, layout.name_path(pipeline, name))

    def list(self, pipeline: str = "") -> Iterator[NameRecord]:
        """The names of a pipeline's runs, or of all, sorted by pipeline and name; removed ones too."""
        below = f"/{layout.check_identifier('pipeline', pipeline)}" if pipeline else ""
        for entry in self._records.backend.list(layout.NAMES + below):
            parts = entry.path.split("/")
            if len(parts) == 3 and all(map(layout.is_identifier, parts[1:])):
                record = self._records.read(NameRecord, entry.path)
                if record is not None:
                    yield record

    def write(self, record: NameRecord, replacing: NameRecord | None) -> bool:
        """Put the record of a name in the place of exactly `replacing` (None: of nothing that is readable); False when another stands there.

        Raises StoreForbidden with a key that may only read: a name in the cache alone would be nobody else's.
        """
        if self._availability is None:
            return _write(self._own, record, replacing)
        written = self._availability.write(
            lambda: _write(self._own, record, replacing), lambda: None
        )
        if written is None:
            raise StoreForbidden(
                f"the name {record.name} cannot be written to {self._own.backend.url}",
                hint="use a key that may write there, when the server can be reached",
            )
        return written


def moved(
    record: NameRecord, runs: Mapping[str, NamedRun], *, when: str, by: str, note: str
) -> NameRecord:
    """The record of a name once it leads to these runs, by stage; none: it is removed. As many moves are kept as fit."""
    change = NameChange(when, by, note, {stage: run.run for stage, run in sorted(runs.items())})
    changes = (*record.changes, change)[-MOST_CHANGES:]
    path = layout.name_path(record.pipeline, record.name)
    while True:
        fresh = msgspec.structs.replace(record, runs=dict(runs), changes=changes)
        if len(encode(fresh, path)) <= NAME_BYTES or len(changes) == 1:
            return fresh
        changes = changes[(len(changes) + 1) // 2 :]


def _write(records: Records, record: NameRecord, replacing: NameRecord | None) -> bool:
    path = layout.name_path(record.pipeline, record.name)
    content = encode(record, path)
    backend = records.backend
    if replacing is not None:
        return backend.replace(path, encode(replacing, path), content)
    current = backend.get_many([path], SMALL_RECORD_BYTES)[0]
    if current is None:
        return backend.create(path, content)
    read = decode(NameRecord, current, path)
    is_free = isinstance(read, Unreadable) and read.reason in ("damaged", "older")
    return is_free and backend.replace(path, current, content)
