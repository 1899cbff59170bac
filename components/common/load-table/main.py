"""Load files as people have them into the table records.csv: columns chosen, times in seconds."""

import codecs
import sys
from pathlib import Path, PurePath
from typing import Any

import pandas as pd
from formats import Format
from sources.files import source_files
from sources.records import Records
from stageio import StageError, names, run
from times import seconds


def main(*, input: Path, output: Path, **given: Any) -> None:
    """Write the records of `input`, a file or a directory, to `output`/records.csv.

    Raises StageError for a malformed line (unless `on_error` is "skip"), a file of a kind that is
    not known, a column that no record has, and a time that is none.
    """
    pairs = [entry.partition("=") for entry in names("--columns", given["columns"])]
    columns = names("--columns", ",".join(old for old, _, _ in pairs))
    renamed = names("--columns", ",".join(new or old for old, _, new in pairs))
    delimiter = {"tab": "\t", r"\t": "\t"}.get(given["delimiter"], given["delimiter"])
    if not delimiter or {*delimiter} & {*'\r\n"'}:
        raise StageError(f"--delimiter: {delimiter!r} is none", "such as ',', tab or '::'")
    try:
        "".encode(given["encoding"])
    except (LookupError, ValueError) as error:
        raise StageError(f"--encoding: {error}", "such as utf-8, latin-1, cp1252") from None
    encoding = codecs.lookup(given["encoding"]).name
    quotes = {"yes": True, "no": False}.get(given["quotes"], delimiter in ",;")
    table = Format(delimiter, quotes, names("--names", given["names"]), encoding, columns)

    def finished(rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows.rename(columns=dict(zip(columns, renamed, strict=True)))
        for name in names("--time", given["time"]):
            if name not in rows:
                raise StageError(f"--time: no column {name!r}", f"there are {', '.join(rows)}")
            rows[name] = seconds(rows[name], given["time_unit"], records.count - len(rows))
        return rows

    files, patterns = source_files(input, given["sha256"]), names("--files", given["files"])
    fit = {n: p for n, p in files.items() if not patterns or any(map(PurePath(n).match, patterns))}
    if patterns and not fit:
        raise StageError("--files: no file fits", f"there are {', '.join([*files][:10])}")
    skip = given["on_error"] == "skip"
    records = Records(fit, table.records, skip, given["max_skipped"], columns)
    records.write(output / "records.csv", finished)
    for name in [name for name in columns if name not in records.fields]:
        hint = f"there are {', '.join(records.fields)}"
        (output / "records.csv").unlink()
        raise StageError(f"--columns: no record has the column {name!r}", hint)
    print(*records.notes, sep="\n", file=sys.stderr)


if __name__ == "__main__":
    run(main, accepts_url=True)
