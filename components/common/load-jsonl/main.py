"""Load line-separated JSON into the table records.csv: one row for each record, as it stands."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from records import JsonLines
from source import source_files
from stageio import StageError, progress, run, write_rows


def main(
    *, input: Path | str, output: Path, fields: str, drop: str, on_error: str, sha256: str
) -> None:
    """Write the records of `input`, a file, a directory or a URL, to `output`/records.csv.

    Raises StageError for a malformed line (unless `on_error` is "skip"), a source without a
    single record, a SHA-256 that differs, and a URL that cannot be fetched.
    """
    kept, dropped = names("fields", fields), names("drop", drop)
    both = sorted({*kept} & {*dropped})
    if both:
        raise StageError(f"the field {both[0]!r} is in both --fields and --drop")
    with source_files(input, sha256, spool=output) as files:
        records = JsonLines(files, skip_malformed=on_error == "skip")
        written = write_records(records, output / "records.csv", kept, {*dropped})
        for problem in records.examples:
            print(f"skipped: {problem}", file=sys.stderr)
        if not written:
            raise StageError(
                f"not a single record (files: {len(files)}, malformed lines: {records.skipped})",
                "the source holds one JSON object a line, in files neither hidden nor empty",
            )
    print(f"records: {written}, malformed lines skipped: {records.skipped}", file=sys.stderr)


def names(flag: str, listing: str) -> list[str]:
    """The names in a list separated by commas. Raises StageError for one that is repeated."""
    found = [name.strip() for name in listing.split(",")] if listing.strip() else []
    wrong = [name for name in found if not name or found.count(name) > 1]
    if wrong:
        raise StageError(
            f"--{flag}: {f'{wrong[0]!r} is repeated' if wrong[0] else 'an empty name'}",
            "names are separated by single commas",
        )
    return found


def write_records(
    records: Iterable[dict[str, str]], path: Path, fields: list[str], dropped: set[str]
) -> int:
    """Write `records` to the table `path` and return their number; 0, and no file, for none.

    The columns are `fields`, or where that is empty all fields but `dropped`, in the order in
    which they first appear. A field that a record lacks is an empty cell.
    """
    columns = fields or first_fields(records, dropped)
    unseen = {*fields, *dropped}
    # All columns must be known before the first row is written, and may be known only after the
    # last record is read. Few sources need the second pass: where a record brings a new field,
    # the first pass writes no further row, but reads on to find them all.
    while columns:
        found = dict.fromkeys(columns)
        rows = table_rows(records, found, dropped, unseen, grows=not fields)
        written = write_rows(path, columns, progress(rows, label="records"))
        if len(found) == len(columns):
            for name in sorted(unseen):
                print(f"warning: no record has the field {name!r}", file=sys.stderr)
            if not written:
                path.unlink()
            return written
        columns = list(found)
    return 0


def first_fields(records: Iterable[dict[str, str]], dropped: set[str]) -> list[str]:
    """The fields, without `dropped`, of the first record that has any; [] for no records.

    Raises StageError where there are records, but none has such a field.
    """
    record: dict[str, str] | None = None
    for record in records:
        kept = [name for name in record if name not in dropped]
        if kept:
            return kept
    if record is not None:
        raise StageError("the records have no fields", "leave at least one field out of --drop")
    return []


def table_rows(
    records: Iterable[dict[str, str]],
    found: dict[str, None],
    dropped: set[str],
    unseen: set[str],
    *,
    grows: bool,
) -> Iterator[list[str]]:
    """Yield the cells of each record, in the order of the columns `found`.

    Takes the fields it meets out of `unseen`. With `grows`, fields that are neither in `found` nor
    `dropped` are added to `found`; from the first of them on, no further row is yielded.
    """
    width = len(found)
    known = {*found, *dropped}
    for record in records:
        if unseen:
            unseen.difference_update(record)
        if grows and not record.keys() <= known:
            found.update(dict.fromkeys(name for name in record if name not in dropped))
            known.update(record)
        if len(found) == width:
            yield [record.get(name, "") for name in found]


if __name__ == "__main__":
    run(main, accepts_url=True)
