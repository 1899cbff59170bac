"""The file that keeps what a stage says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class LogFailed(Exception):
    """What a stage says could not be kept."""


class Log:
    """A file that lines are added to, each at once; closed when the context is left. Raises LogFailed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Log:
        try:
            self._file = open(self._path, "ab", buffering=0)
        except OSError as error:
            raise self._failed(error) from error
        return self

    def __exit__(self, *raised: object) -> None:
        self._file.close()

    def add(self, texts: Sequence[str]) -> None:
        """Add these lines."""
        rest = memoryview("".join(f"{text}\n" for text in texts).encode("utf-8"))
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> LogFailed:
        return LogFailed(f"cannot write the log {self._path}: {error.strerror}")
