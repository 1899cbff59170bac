"""Load files as people have them into the table records.csv: columns chosen, times in seconds."""

import sys
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import pandas as pd
from formats import Format, records_of
from sources import Records, columns_of, source_files
from stageio import StageError, names, run, write_table
from times import seconds


def main(*, input: Path | str, output: Path, **parameters: Any) -> None:
    """Write the records of `input`, a file, a directory or a URL, to `output`/records.csv.

    Raises StageError for a malformed line (unless `on_error` is "skip"), a file of a kind that is
    not known, a column that no record has, and a time that is none.
    """
    given = parameters
    pairs = [entry.partition("=") for entry in names("--columns", given["columns"])]
    renamed = {old.strip(): (new or old).strip() for old, _, new in pairs}
    names("--columns", ",".join(renamed.values()))
    times = names("--time", given["time"])
    kind = Format(
        delimiter={"tab": "\t", r"\t": "\t"}.get(given["delimiter"], given["delimiter"]),
        quotes=given["quotes"] == "yes"
        or (given["quotes"] == "auto" and given["delimiter"] in ",;"),
        header=names("--names", given["names"]),
        encoding=given["encoding"],
        columns=[*renamed],
    )

    def finished(rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows.rename(columns=renamed)
        for name in times:
            if name not in rows:
                raise StageError(f"--time: no column {name!r}", f"there are {', '.join(rows)}")
            rows[name] = seconds(rows[name], given["time_unit"], records.count - len(rows))
        return rows

    met: dict[str, None] = {}
    with source_files(input, given["sha256"], spool=output) as found:
        files = chosen_files(found, names("--files", given["files"]))
        parse = partial(records_of, kind)
        records = Records(files, parse, given["on_error"] == "skip", given["max_skipped"])
        written = None
        # The header is written first: a column that comes up late needs a second pass.
        while written != records.count:
            rows = columns_of(records, [*renamed], [], met)
            written = write_table(output / "records.csv", map(finished, rows))
    if missing := [name for name in renamed if name not in met]:
        hint = f"there are {', '.join(met)}"
        raise StageError(f"--columns: no record has the column {missing[0]!r}", hint)
    notes = [f"skipped: {problem}" for problem in records.examples]
    counts = f"records: {written}, malformed lines skipped: {records.skipped}"
    print(*notes, counts, sep="\n", file=sys.stderr)


def chosen_files(files: dict[str, Path], patterns: list[str]) -> dict[str, Path]:
    """The files whose name or path fits one of these patterns; all without any."""
    fit = {n: p for n, p in files.items() if any(map(PurePath(n).match, patterns))}
    if patterns and not fit:
        raise StageError("--files: no file fits", f"there are {', '.join([*files][:10])}")
    return fit if patterns else files


if __name__ == "__main__":
    run(main, accepts_url=True)
