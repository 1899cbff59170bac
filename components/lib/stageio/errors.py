"""The one error a stage reports, and how the operating system's errors become it."""

from __future__ import annotations

import errno

_HINTS = {
    errno.ENOSPC: "free some space, or give the stage a larger disk",
    errno.EDQUOT: "free some space, or ask for a larger quota",
    errno.EACCES: "check the permissions of that path for the user the stage runs as",
    errno.EPERM: "check the permissions of that path for the user the stage runs as",
    errno.EROFS: "a stage may write only below --output and in the temporary directory",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


class StageError(Exception):
    """What the user can put right: a message (what is wrong, and where) and a hint (what to do).

    `run` prints it as `error: MESSAGE` and, where there is a hint, `hint: HINT`, then ends the
    process with exit code 1.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def from_os_error(error: OSError) -> StageError:
    """The StageError that says what `error` says: its reason and its path, without a traceback."""
    reason = error.strerror or str(error) or type(error).__name__
    place = f"{error.filename}: " if error.filename is not None else ""
    return StageError(f"{place}{reason}", _HINTS.get(error.errno or 0, ""))
