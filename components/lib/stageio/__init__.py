"""What every component shares: its command line, its input and output, its tables, its errors."""

from .entrypoint import run
from .errors import StageError
from .progress import progress
from .tables import numbered_cells, numbered_rows, read_header, read_rows, table, write_rows

__all__ = [
    "StageError",
    "numbered_cells",
    "numbered_rows",
    "progress",
    "read_header",
    "read_rows",
    "run",
    "table",
    "write_rows",
]
