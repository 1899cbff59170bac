"""What every component shares: its command line, its input and output, its tables, its errors."""

from typing import TYPE_CHECKING, Any

from .entrypoint import run
from .errors import StageError
from .parameters import names
from .progress import progress

if TYPE_CHECKING:
    from .tables import (
        check_columns,
        find_columns,
        place,
        read_chunks,
        read_header,
        read_ids,
        read_table,
        table,
        write_table,
    )

__all__ = [
    "StageError",
    "check_columns",
    "find_columns",
    "names",
    "place",
    "progress",
    "read_chunks",
    "read_header",
    "read_ids",
    "read_table",
    "run",
    "table",
    "write_table",
]


def __getattr__(name: str) -> Any:
    """Import the functions on tables when one is asked for: pandas takes most of a second to start."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import tables

    return getattr(tables, name)
