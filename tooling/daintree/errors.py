"""Error tree: everything the tooling raises on purpose is a `DaintreeError`.

Adapters translate the exceptions of other libraries to it where they occur.

    DaintreeError
    ├── UsageError            the command line asks for something that does not exist
    ├── SettingsError         pyproject.toml or a DAINTREE_* variable is wrong
    ├── SpecError             a pipeline or component file is wrong
    ├── SourceError           a pipeline's source is missing, empty, unreadable or changed meanwhile
    ├── GitError              git is missing, this is no repository, or git refused
    ├── VersionError          a component cannot be given a version
    ├── StoreError            the artifact store cannot be read or written
    │   ├── ArtifactDamaged   a stored output is not what its record says
    │   ├── StoreUnavailable  a shared store's server cannot be reached, or cannot serve now
    │   └── StoreForbidden    a shared store's server does not let this key do what was asked
    ├── ArtifactRejected      a stage wrote something that no store may hold
    ├── ImageError            an image cannot be named, built, pushed or believed
    │   ├── EngineError       the Docker engine cannot be reached, or refuses
    │   └── RegistryError     the image registry refuses, or answers what it should not
    │       └── RegistryUnavailable  it cannot be reached
    ├── ClusterError          the Kubernetes cluster cannot be reached, or refuses
    │   ├── ClusterForbidden  its API does not let this account do what was asked
    │   ├── ClusterConflict   there is an object of that name already
    │   ├── ClusterMissing    there is no such object, namespace or kind of object
    │   └── ClusterUnavailable its API cannot be reached, or cannot serve now
    ├── TrackingError         an experiment tracking server cannot be reached, or refuses
    ├── EnvironmentFailed     a component's environment could not be made
    ├── StageFailed           a stage ran and did not succeed
    └── Interrupted           a signal ended the run
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple


class DaintreeError(Exception):
    """An error that its reader can act on: one message and, where there is something to do, a hint.

    `message` says what is wrong and where; `hint` what to do about it (may be empty);
    `exit_code` is what the process ends with.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(DaintreeError):
    """The command line names a pipeline, stage, parameter or option that does not exist."""


class SettingsError(DaintreeError):
    """A setting in pyproject.toml or in the environment has a wrong name, type or value."""


class SpecError(DaintreeError):
    """A pipeline or component file cannot be read or says something impossible."""


class SourceError(DaintreeError):
    """A pipeline's source is missing, empty, unreadable, or changed while it was read."""


class GitError(DaintreeError):
    """git is missing, refuses, or there is no repository here."""


class VersionError(DaintreeError):
    """The files of a component do not make a version (a link out of it, a submodule, a clash)."""


class StoreError(DaintreeError):
    """The artifact store cannot be reached, read or written."""


class StoreUnavailable(StoreError):
    """The server of a shared store cannot be reached, or answers that it cannot serve now."""


class StoreForbidden(StoreError):
    """The server of a shared store knows the key and does not let it do what was asked."""


class ArtifactDamaged(StoreError):
    """A stored output does not agree with its record; `kind` is "missing" or "damaged", `file` the file at fault."""

    def __init__(self, message: str, *, file: str, kind: str, hint: str = "") -> None:
        super().__init__(message, hint=hint or "`doit run PIPELINE` computes or fetches it again")
        self.file = file
        self.kind = kind

    @classmethod
    def missing(cls, file: str, subject: str = "output file") -> ArtifactDamaged:
        """The error for a file that is not there; `subject` says what it is."""
        return cls(f"{subject} {file} missing from the store", file=file, kind="missing")

    @classmethod
    def damaged(cls, file: str, subject: str = "output file", detail: str = "") -> ArtifactDamaged:
        """The error for a file that is not as its record says."""
        message = f"{subject} {file} is damaged in the store{detail}"
        return cls(message, file=file, kind="damaged")


class ArtifactRejected(DaintreeError):
    """A directory holds something that cannot be an artifact: a link, a FIFO, a refused name, or nothing at all."""


class ImageError(DaintreeError):
    """An image cannot be named, built, pushed, or is not what its tag says."""


class EngineError(ImageError):
    """The Docker engine is not there, does not answer, or refuses."""


class RegistryError(ImageError):
    """The image registry does not answer, refuses, or answers what cannot be believed."""


class RegistryUnavailable(RegistryError):
    """The image registry cannot be reached, or does not answer."""


class ClusterError(DaintreeError):
    """The Kubernetes cluster is not configured, does not answer, or refuses."""


class ClusterForbidden(ClusterError):
    """The cluster's API knows the account, or not even that, and does not let it do what was asked."""


class ClusterConflict(ClusterError):
    """The cluster has an object of that name already, or the object has changed meanwhile."""


class ClusterMissing(ClusterError):
    """The cluster has no such object, no such namespace, or does not know that kind of object."""


class ClusterUnavailable(ClusterError):
    """The cluster's API cannot be reached, breaks off, or answers that it cannot serve now."""


class TrackingError(DaintreeError):
    """An experiment tracking server, such as MLflow's, cannot be reached, or refuses."""


class EnvironmentFailed(DaintreeError):
    """A component's environment could not be made."""


class StageFailed(DaintreeError):
    """A stage ran and did not succeed."""


class Interrupted(DaintreeError):
    """A signal ended the run; `exit_code` is 128 + the signal's number."""

    def __init__(self, message: str, *, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


OK, MISSING = "ok", "missing"


class Check(NamedTuple):
    """Outcome of looking at one thing: its name and state; `what` is there or is wrong, and a hint.

    `unknown`: this account may not look.
    """

    name: str
    state: Literal["ok", "missing", "unknown"]
    what: str
    hint: str = ""


def checked(
    name: str, ask: Callable[[], str], unknown: type[DaintreeError] | tuple[()] = ()
) -> Check:
    """The outcome of `ask`: ok with the text it returns, missing with the error it raises, unknown for an `unknown` error."""
    try:
        return Check(name, "ok", ask())
    except unknown as error:
        return Check(name, "unknown", error.message, error.hint)
    except DaintreeError as error:
        return Check(name, "missing", error.message, error.hint)


_OS_HINTS = {
    errno.ENOSPC: "free some disk space; `doit gc` removes outputs that no pipeline reaches",
    errno.EDQUOT: "your disk quota is used up; `doit gc` removes outputs that no pipeline reaches",
    errno.EACCES: "check the permissions",
    errno.EROFS: "the file system is read-only",
}


def check_writable(directory: str | os.PathLike[str]) -> None:
    """Raise OSError where nothing can be made in a directory, or in the nearest one above it that exists, as far as that is known without writing."""
    path = os.path.abspath(directory)
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    if not os.path.isdir(path):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    if not os.access(path, os.W_OK | os.X_OK):
        read_only = os.statvfs(path).f_flag & os.ST_RDONLY
        number = errno.EROFS if read_only else errno.EACCES
        raise OSError(number, os.strerror(number), path)


def from_os_error(error: OSError, subject: str = "") -> DaintreeError:
    """An operating system's error that no layer has given better words: its `subject` or file, its cause, and a hint."""
    place = subject or error.filename
    cause = error.strerror or str(error)
    return DaintreeError(
        f"{place}: {cause}" if place else cause, hint=_OS_HINTS.get(error.errno or 0, "")
    )


MOST_NAMES = 12


def nearest(name: str, known: Sequence[str], *, otherwise: str = "") -> str:
    """A hint such as "did you mean 'train'?"; else `otherwise`, or else the names there are; "" when there are none."""
    import difflib

    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    if otherwise or not known:
        return otherwise
    more = ", …" if len(known) > MOST_NAMES else ""
    return "there are: " + ", ".join(sorted(known)[:MOST_NAMES]) + more
