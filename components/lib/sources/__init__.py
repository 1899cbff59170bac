"""The files of a source, unpacked, and their records in frames of text."""

from .files import source_files, unpacked
from .records import Records, columns_of, json_records

__all__ = ["Records", "columns_of", "json_records", "source_files", "unpacked"]
