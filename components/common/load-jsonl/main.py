"""Load line-separated JSON into the table records.csv: one row for each record, as it stands."""

import sys
from pathlib import Path

from sources.files import source_files
from sources.records import Records, json_records
from stageio import StageError, names, run


def main(
    *, input: Path, output: Path, fields: str, drop: str, on_error: str, max_skipped: float, sha256: str
) -> None:  # fmt: skip
    """Write the records of `input`, a file or a directory, to `output`/records.csv.

    The columns are `fields`, or all fields but those in `drop`, in the order in which they appear.
    Raises StageError for a malformed line (unless `on_error` is "skip"), a source without a
    record, and a SHA-256 that differs.
    """
    chosen, dropped = names("--fields", fields), names("--drop", drop)
    if both := sorted({*chosen} & {*dropped}):
        raise StageError(f"the field {both[0]!r} is in both --fields and --drop")
    files, skip = source_files(input, sha256), on_error == "skip"
    records = Records(files, json_records, skip, max_skipped, chosen, dropped)
    records.write(output / "records.csv")
    unmet = sorted({*chosen, *dropped} - {*records.fields})
    warnings = [f"warning: no record has the field {name!r}" for name in unmet]
    print(*warnings, *records.notes, sep="\n", file=sys.stderr)


if __name__ == "__main__":
    run(main, accepts_url=True)
