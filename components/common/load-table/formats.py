"""The records of one file: delimited text, lines of JSON or Parquet, told apart by their content."""

import csv
import difflib
import io
from dataclasses import dataclass
from functools import partial
from typing import Any

from sources.kinds import BINARY, check_kind
from sources.records import LONGEST_LINE, MARK, Parsed, json_records
from stageio import StageError

UNIT_SEPARATOR = "\x1f"


@dataclass(frozen=True)
class Format:
    """How delimited text is written, and the columns that a file of any kind has to have.

    Without `names` the first line is the header.
    """

    delimiter: str
    quotes: bool
    names: list[str]
    encoding: str
    columns: list[str]

    def records(self, name: str, file: Any) -> Parsed:
        """The records of an open file with the numbers of their lines.

        Raises StageError for a kind that cannot be read, named for what it is.
        """
        start = file.peek(4096)[:4096]
        if start.startswith(b"PAR1"):
            return self._parquet(name, file)
        if start.decode(self.encoding, "ignore").lstrip(f"{MARK} \t\r\n").startswith(("{", "[")):
            return json_records(name, file, self.encoding)
        if not self.encoding.startswith(("utf-16", "utf-32")):
            check_kind(name, start, BINARY)
        return self._delimited(name, io.TextIOWrapper(file, encoding=self.encoding, newline=""))

    def _delimited(self, name: str, file: io.TextIOWrapper) -> Parsed:
        csv.field_size_limit(LONGEST_LINE)
        one = self.delimiter if len(self.delimiter) == 1 else UNIT_SEPARATOR
        # Where files were joined, each has left its byte order mark.
        lines = (
            line.removeprefix(MARK).replace(self.delimiter, one)
            for line in iter(partial(file.readline, LONGEST_LINE), "")
        )
        quoting = csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE
        rows = csv.reader(lines, delimiter=one, quoting=quoting, strict=True)
        header: list[str] = []
        cells: list[str] | None = self.names
        number = 0
        while cells is not None:
            if cells and one != self.delimiter:
                cells = [cell.replace(one, self.delimiter) for cell in cells]
            if cells and not header:
                header = cells
                self._check_header(name, header)
            elif cells == header and len(header) > 1:
                pass  # Where files were joined, each has left its header too.
            elif cells and len(cells) == len(header):
                yield number, sum(map(len, cells)), dict(zip(header, cells, strict=True))
            elif cells:
                problem = f"{len(cells)} cells, but there are {len(header)} columns"
                if number == 1:
                    self._check_delimiter(name, cells)
                    hint = f"--names, or --delimiter, which is {self.delimiter!r}"
                    raise StageError(f"{name}: line 1: {problem} in --names", hint)
                yield number, 0, ValueError(f"{problem} (delimiter {self.delimiter!r})")
            number = rows.line_num + 1
            try:
                cells = next(rows, None)
            except csv.Error as error:
                # A quote that nothing closes takes all lines after it.
                yield from ((line, 0, error) for line in range(number, rows.line_num + 1))
                cells = []
            except UnicodeError as error:
                problem = f"{name}: line {number} or after: {error}"
                raise StageError(problem, "--encoding names the encoding, e.g. latin-1") from None

    def _check_header(self, name: str, header: list[str]) -> None:
        if len({*header}) < len(header):
            problem = f"{name}: line 1: the header repeats a column"
            raise StageError(problem, "give each column a name of its own in the file")
        if not self.names:
            self._check_delimiter(name, header)
        for column in [column for column in self.columns if column not in header]:
            nearest = difflib.get_close_matches(column, header, n=1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(header)}"
            if not (self.names or nearest):
                hint += "; --names is for files without a header"
            raise StageError(f"{name}: no column {column!r}", f"--columns: {hint}")

    def _check_delimiter(self, name: str, cells: list[str]) -> None:
        for other in ("::", "\t", ";", "|", ","):
            if len(cells) == 1 and other in cells[0]:
                shown = repr("tab" if other == "\t" else other)
                hint = f"--delimiter {shown} (in a pipeline delimiter: {shown})"
                raise StageError(f"{name}: one column, {cells[0][:80]!r}", hint)

    def _parquet(self, name: str, file: Any) -> Parsed:
        from pyarrow import ArrowException, parquet

        number = 0
        try:
            table = parquet.ParquetFile(file)
            self._check_header(name, table.schema_arrow.names)
            for batch in table.iter_batches(10_000, columns=self.columns or None):
                for record in batch.to_pylist():
                    number += 1
                    yield number, batch.nbytes // len(batch), record
        except (ArrowException, OSError, OverflowError) as error:
            problem = f"{name}: unreadable Parquet after record {number}: {str(error)[:100]}"
            raise StageError(problem, "get the file again; its years are 1 to 9999") from None
