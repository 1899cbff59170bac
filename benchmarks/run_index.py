"""The index of runs for looking: seconds to fill it from a history of 10,000 runs, and to read it when it is warm."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from contenders import workspace
from history import STAGES, fabricate
from timing import parser, row, timed

from daintree.store.run_index import Query, opened
from daintree.store.store import directory_store

RUNS = 10_000


def main() -> None:
    """Measure, and print a row for each."""
    runs = 500 if parser(__doc__).parse_args().quick else RUNS
    with workspace() as directory:
        fabricate(directory / "store", runs)
        row(f"{runs:,} runs of {STAGES} stages", "seconds")
        row("---", "---")
        row("the index is filled", f"{timed(partial(look, directory, Query(limit=1))):.2f}")
        for title, query in {
            "warm: the newest 50": Query(pipeline="chain"),
            "warm: the best 50 by a metric": Query(pipeline="chain", order="metric:test.hr@10"),
            "warm: all": Query(pipeline="chain", limit=0),
        }.items():
            row(title, f"{min(timed(partial(look, directory, query)) for _ in range(3)):.2f}")


def look(directory: Path, query: Query) -> None:
    """Open the index, take in what is new, and ask it."""
    store = directory_store(directory / "store")
    with opened(store, directory / "caches") as index:
        index.refresh("chain")
        assert index.find(query).runs


if __name__ == "__main__":
    main()
