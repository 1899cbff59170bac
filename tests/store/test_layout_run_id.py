"""What a run is called."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from daintree.store.layout import run_id


def test_a_run_id_says_when_and_is_unique() -> None:
    started = datetime(2026, 3, 1, 10, 15, 7, 42_999, tzinfo=UTC)
    ids = {run_id(started) for _ in range(100)}
    assert len(ids) == 100
    assert all(re.fullmatch(r"20260301T101507042Z-[0-9a-f]{8}", name) for name in ids)


def test_run_ids_sort_by_time() -> None:
    moments = [
        datetime(2025, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 1, 1, 0, 0, 0, 0, tzinfo=UTC),
        datetime(2026, 1, 1, 0, 0, 0, 1_000, tzinfo=UTC),
        datetime(2026, 1, 1, 0, 0, 1, 0, tzinfo=UTC),
        datetime(2026, 10, 1, 0, 0, 0, 0, tzinfo=UTC),
    ]
    ids = [run_id(moment) for moment in moments]
    assert ids == sorted(ids)
