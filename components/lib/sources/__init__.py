"""The files of a source, unpacked, and their records in frames of text."""

from .files import source_files, unpacked
from .kinds import BINARY, check_kind
from .records import MARK, Parsed, Records, json_records

__all__ = [
    "BINARY",
    "MARK",
    "Parsed",
    "Records",
    "check_kind",
    "json_records",
    "source_files",
    "unpacked",
]
