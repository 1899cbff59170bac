"""What every component shares: its command line, its input and output, its tables, its errors."""

from .entrypoint import run
from .errors import StageError
from .parameters import names
from .progress import progress
from .tables import (
    check_columns,
    place,
    read_chunks,
    read_header,
    read_table,
    table,
    write_table,
)

__all__ = [
    "StageError",
    "check_columns",
    "names",
    "place",
    "progress",
    "read_chunks",
    "read_header",
    "read_table",
    "run",
    "table",
    "write_table",
]
