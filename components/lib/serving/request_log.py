"""`requests.jsonl`: what was asked and answered, for monitoring."""

from __future__ import annotations

import json
import logging
import logging.handlers
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

FILE = "requests.jsonl"
_LARGEST_FILE = 64 * 2**20
_OLDER_FILES = 4


class RequestLog:
    """A line of JSON for each request, in files of at most 64 MiB: the newest and four older ones.

    No user is named in it. A log that cannot be written never fails a request; `lost` counts.
    """

    def __init__(self, directory: Path) -> None:
        """Write into `directory`, which is made where it is missing. Raises OSError."""
        directory.mkdir(parents=True, exist_ok=True)
        self._file = _Rotating(directory / FILE)

    @property
    def lost(self) -> int:
        """How many lines could not be written."""
        return self._file.lost

    def add(
        self, run: str, asked: Sequence[str], unknown: Sequence[str], answered: Sequence[str]
    ) -> None:
        """Keep that the model of `run` was asked for, did not know, and answered these items."""
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "run": run,
            "asked": asked,
            "unknown": unknown,
            "answered": answered,
        }
        self._file.emit(logging.makeLogRecord({"msg": json.dumps(line)}))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _Rotating(logging.handlers.RotatingFileHandler):
    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=_LARGEST_FILE, backupCount=_OLDER_FILES, encoding="utf-8")
        self.lost = 0

    def handleError(self, record: logging.LogRecord) -> None:
        self.lost += 1
