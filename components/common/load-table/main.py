"""Load files as people have them into the table records.csv: columns chosen, times in seconds."""

import sys
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import pandas as pd
from formats import Format, records_of
from sources import Records, source_files
from stageio import StageError, names, run
from times import seconds


def main(*, input: Path | str, output: Path, **parameters: Any) -> None:
    """Write the records of `input`, a file, a directory or a URL, to `output`/records.csv.

    Raises StageError for a malformed line (unless `on_error` is "skip"), a file of a kind that is
    not known, a column that no record has, and a time that is none.
    """
    given = parameters
    pairs = [entry.partition("=") for entry in names("--columns", given["columns"])]
    columns = names("--columns", ",".join(old for old, _, _ in pairs))
    renamed = names("--columns", ",".join(new or old for old, _, new in pairs))
    times = names("--time", given["time"])
    parse = partial(records_of, Format.of(given, columns))

    def finished(rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows.rename(columns=dict(zip(columns, renamed, strict=True)))
        for name in times:
            if name not in rows:
                raise StageError(f"--time: no column {name!r}", f"there are {', '.join(rows)}")
            rows[name] = seconds(rows[name], given["time_unit"], records.count - len(rows))
        return rows

    with source_files(input, given["sha256"], spool=output) as found:
        files = chosen_files(found, names("--files", given["files"]))
        skip = given["on_error"] == "skip"
        records = Records(files, parse, skip, given["max_skipped"], columns)
        notes = records.write(output / "records.csv", finished)
    if missing := [name for name in columns if name not in records.fields]:
        hint = f"there are {', '.join(records.fields)}"
        raise StageError(f"--columns: no record has the column {missing[0]!r}", hint)
    print(*notes, sep="\n", file=sys.stderr)


def chosen_files(files: dict[str, Path], patterns: list[str]) -> dict[str, Path]:
    """The files whose name or path fits one of these patterns; all without any."""
    fit = {n: p for n, p in files.items() if any(map(PurePath(n).match, patterns))}
    if patterns and not fit:
        raise StageError("--files: no file fits", f"there are {', '.join([*files][:10])}")
    return fit if patterns else files


if __name__ == "__main__":
    run(main, accepts_url=True)
