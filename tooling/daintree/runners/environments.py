"""Virtual environments: one per distinct set of locked requirements, made once, shared, made again when files are lost."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import re
import shutil
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from daintree.digest import Plain, digest_record, short
from daintree.errors import EnvironmentFailed, check_writable
from daintree.runners.runner import (
    bytecode_directory,
    environment_class,
    environment_of,
    inspect_interpreter,
    minor_version,
)
from daintree.terminal import count

SIZE_NOTE = "# installed size: "
MADE_BY_NOTE = "# made by: doit lock "
# In each environment: a line for each of its files, `size path`.
FILE_LIST = "files.txt"

# No other directory is taken for one: `doit gc` removes environments.
_OWN_NAME = re.compile(r"venv-.+-[0-9a-f]{20}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# pip's rule: a comment starts at the line's beginning or after a blank.
_COMMENT = re.compile(r"(^|\s)#.*")
# A short option may stand right before its value.
_INCLUDES = re.compile(r"(?:-[rc]|--requirement\b|--constraint\b)[\s=]*(.*)")
_EDITABLE = re.compile(r"-e|--editable\b")
_INDEXES = re.compile(
    r"-[if]|--(?:index-url|extra-index-url|default-index|index|find-links|no-index|trusted-host)\b"
)
_REPOSITORY = re.compile(r"(?:\A|\s|@\s*)(?:git|hg|svn|bzr)\+|\Agit@", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:\A|@\s*)https?://([^/\s]*)\S*", re.IGNORECASE)
_FILE = re.compile(
    r"(?:\A|@\s*)(?:[^\s;@]*[/\\]|~|\.\.?(?:\[|\Z)|file:|\S+\.(?:whl|zip|tgz|tar\.\w+)(?:[\s;\[]|\Z))",
    re.IGNORECASE,
)
_LIBRARY = (
    "make it a library, a directory components/lib/NAME, and name it in `uses` of component.yaml"
)

Announce = Callable[[str], None]


@dataclass(frozen=True)
class LockedRequirements:
    """The content of a requirements file that decides what gets installed, and what is known of it.

    `lines` are its logical lines without comments: files that differ in comments alone have equal
    lines. `owner` is the component it was locked for, `size` what it takes once installed, e.g. "26
    MB"; both are "" where the file does not say.
    """

    lines: tuple[str, ...]
    owner: str = ""
    size: str = ""

    @property
    def packages(self) -> frozenset[str]:
        """The names of the packages it pins, normalised; some may be for other platforms."""
        names = (_NAME.match(line) for line in self.lines)
        return frozenset(re.sub(r"[-_.]+", "-", name[0]).lower() for name in names if name)

    @property
    def included(self) -> tuple[str, ...]:
        """The files that its lines `-r` and `-c` bring in."""
        return tuple(match[1] for line in self.lines if (match := _INCLUDES.match(line)))


def parse_requirements(text: str) -> LockedRequirements:
    """Read a requirements file's text; any text is accepted, uv judges its requirements."""
    lines: list[str] = []
    joined = ""
    for physical in text.splitlines():
        line = _COMMENT.sub("", physical).strip()
        joined += line.removesuffix("\\").strip() + " "
        if not line.endswith("\\"):
            lines.append(joined.strip())
            joined = ""
    lines.append(joined.strip())
    return LockedRequirements(
        lines=tuple(line for line in lines if line),
        owner=_note(text, MADE_BY_NOTE),
        size=_note(text, SIZE_NOTE),
    )


def _note(text: str, start: str) -> str:
    notes = (line for line in text.splitlines() if line.startswith(start))
    return next(notes, "").removeprefix(start).strip()


def refused_requirement(line: str) -> tuple[str, str] | None:
    """The reason why a line of a requirements file is refused, and what to write instead; None for one that is not.

    What is installed depends on names, versions and hashes alone: no address, no directory, no branch of a repository.
    """
    if _INDEXES.match(line):
        return (
            "names an address, but where packages come from is a setting of each machine",
            "take the line out; UV_INDEX_URL, UV_EXTRA_INDEX_URL, UV_FIND_LINKS or pip.conf say it",
        )
    if _REPOSITORY.search(line):
        return (
            "is a repository, whose files have no hash to lock",
            f"build a wheel of it for your package index; or {_LIBRARY}",
        )
    address = _ADDRESS.search(line)
    if address and ("@" in address[1] or "$" in address[0]):
        return (
            "has an address with a user or a variable in it, and a lock is for everybody",
            "name the address alone; ~/.netrc may hold a user and a password",
        )
    if address:
        return None
    if _EDITABLE.match(line) or (not _INCLUDES.match(line) and _FILE.search(line)):
        return "is a directory or a file, which has no hash to lock", _LIBRARY
    if line.startswith("-") and not _INCLUDES.match(line):
        return "is an option, which a lock cannot keep", "take the line out"
    return None


@functools.cache
def find_python(version: str) -> str:
    """The path of a Python of this version, e.g. "3.12", on this machine; of the running one for "".

    Raises EnvironmentFailed where uv finds none; nothing is downloaded.
    """
    own = inspect_interpreter(sys.executable)
    if version in ("", minor_version(own)):
        return sys.executable
    from daintree.runners.uv import run_uv

    done = run_uv(["python", "find", "--no-project", "--system", "--no-python-downloads", version])
    paths = done.stdout.decode("utf-8", "surrogateescape").split("\n")[: 0 if done.code else 1]
    # uv gives up at the first shim of pyenv's that starts nothing, as those of versions that are not chosen do.
    pyenv = Path(os.path.expanduser(os.environ.get("PYENV_ROOT") or "~/.pyenv"))
    paths += sorted(map(str, pyenv.glob(f"versions/{version}.*/bin/python")), reverse=True)
    for path in paths:
        with contextlib.suppress(EnvironmentFailed):
            if inspect_interpreter(path).platform == own.platform:
                return path
    raise EnvironmentFailed(
        f"its component.yaml asks for Python {version}, which is not on this machine",
        hint=f"--runner docker; or install it, e.g. uv python install {version}",
    )


class DirectoriesInUse:
    """Directories that this process uses: `doit gc` leaves them alone, however long ago each was taken into use."""

    def __init__(self) -> None:
        self._descriptors: dict[Path, int] = {}
        weakref.finalize(self, _close, self._descriptors)

    def add(self, directory: Path) -> None:
        """Hold a shared lock on a directory as long as this object lives; where there are no locks, age alone protects it."""
        with contextlib.suppress(OSError):
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            # It may have been made anew.
            earlier = self._descriptors.get(directory)
            self._descriptors[directory] = descriptor
            if earlier is not None:
                os.close(earlier)
            fcntl.flock(descriptor, fcntl.LOCK_SH)


def is_in_use(directory: Path) -> bool:
    """True for a directory that a living process holds in its DirectoriesInUse."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False


def _close(descriptors: dict[Path, int]) -> None:
    while descriptors:
        os.close(descriptors.popitem()[1])


class Environments:
    """The virtual environments below `directory`, made by uv for the interpreter `python`.

    An environment is named after what decides its content: the requirements without comments, and
    the interpreter. It appears by a rename when it is whole, and nothing but `bytecode_directory`
    changes in it afterwards: whatever kills its maker, the next one who needs it makes it anew.
    """

    def __init__(self, directory: Path, python: str | Path = sys.executable) -> None:
        self.directory = directory
        self.python = os.fspath(python)

    def locate(self, requirements: Path | None) -> Path:
        """The Python of the environment for a requirements file, whether it is made yet or not.

        None, and a file that is missing or has no requirements, stand for the environment without
        packages. Raises EnvironmentFailed when the file cannot be read or is not complete in
        itself.
        """
        return self._locate(_read(requirements))

    def ensure(self, requirements: Path | None, announce: Announce) -> Path:
        """The Python of the environment for a requirements file, made when it does not exist or has lost files.

        Made once, however many want it at the same time: the others wait, and `announce` says so.
        Before packages are installed `announce` gets one line with their number and size, and one
        afterwards. Raises EnvironmentFailed; nothing half-made stays visible.
        """
        locked = _read(requirements)
        python = self._locate(locked)
        if not _is_whole(environment_of(python)):
            _Installation(self.python, requirements, locked, announce).make(environment_of(python))
        # The time of its last use.
        with contextlib.suppress(OSError):
            os.utime(environment_of(python))
        return python

    def check(self, content: bytes, where: str) -> None:
        """Raise EnvironmentFailed where no environment could be made for requirements of this content, read at `where`; nothing is made."""
        environment = environment_of(self._locate(read_requirements(content, where)))
        if not environment.is_dir():
            with _translate_errors(self.directory):
                check_writable(self.directory)

    def unused(self, before: float) -> list[Path]:
        """The environments that were not used since a time (seconds since 1970). Raises OSError."""
        return sorted(path for path in self._made() if path.lstat().st_mtime < before)

    def remove(self, environment: Path) -> bool:
        """Remove an environment with its lock file; False while it is being made. Raises OSError."""
        path = _beside(environment, ".lock")
        try:
            with _locked(path):
                _remove(_beside(environment, ".partial"))
                _remove(environment)
                path.unlink(missing_ok=True)
        except BlockingIOError:
            return False
        return True

    def broken(self) -> tuple[int, list[str]]:
        """The number of environments, and the names of those that the next run makes again. Reads every directory of theirs; raises OSError."""
        made = self._made()
        return len(made), sorted(path.name for path in made if not _is_whole(path))

    def _made(self) -> list[Path]:
        """The environments, broken ones too. Raises OSError."""
        if not os.path.lexists(self.directory):
            return []
        with os.scandir(self.directory) as entries:
            names = [each.name for each in entries if each.is_dir(follow_symlinks=False)]
        return [self.directory / name for name in names if _OWN_NAME.fullmatch(name)]

    def _locate(self, locked: LockedRequirements) -> Path:
        interpreter = inspect_interpreter(self.python)
        decides: dict[str, Plain] = {
            "requirements": locked.lines,
            "version": interpreter.version,
            "platform": interpreter.platform,
            "interpreter": os.fsencode(interpreter.file).hex(),
        }
        name = f"{environment_class(python=self.python)}-{short(digest_record('environment', 2, decides))}"
        return self.directory / name / "bin" / "python"


class _Installation:
    """The making of one environment, of which `announce` is told what takes long and why."""

    def __init__(
        self, python: str, requirements: Path | None, locked: LockedRequirements, announce: Announce
    ) -> None:
        self._python, self._locked, self._announce = python, locked, announce
        self._requirements = requirements if locked.lines else None
        self._owner = locked.owner or str(self._requirements or "no packages")

    def make(self, environment: Path) -> None:
        """Make the environment, unless another process makes it meanwhile. Raises EnvironmentFailed."""
        with _translate_errors(environment):
            environment.parent.mkdir(parents=True, exist_ok=True)
            waiting = f"the environment for {self._owner} is being made already; waiting"
            with _locked(_beside(environment, ".lock"), lambda: self._announce(waiting)) as lock:
                if not _is_whole(environment):
                    self._replace(environment, lock)

    def _replace(self, environment: Path, lock: int) -> None:
        partial = _beside(environment, ".partial")
        lost = missing_files(environment)
        if lost:
            self._announce(
                f"the environment for {self._owner} has lost {lost[0]}: it is made again"
            )
        _remove(partial)
        try:
            venv = ["venv", "--relocatable", "--no-project", "--python", self._python]
            self._uv([*venv, partial], lock)
            if self._requirements is not None:
                self._announce(self._announcement())
                started = time.monotonic()
                # What was overwritten may be overwritten in uv's cache too: its files are the same.
                options = ["--no-cache"] if lost else []
                install = ["pip", "install", "--require-hashes", *options]
                install += ["--python", f"{partial}/bin/python", "-r"]
                self._uv([*install, self._requirements], lock)
                seconds = time.monotonic() - started
                size = installed_size(partial / "bin/python")
                self._announce(f"installed {size} in {seconds:.1f} s")
            _write_file_list(partial)
            # What is there cannot be used: its interpreter or some of its files are gone.
            _remove(environment)
            os.rename(partial, environment)
        except BaseException:
            _remove(partial)
            raise

    def _uv(self, arguments: list[str | Path], lock: int) -> None:
        # Imported here: an environment that is there needs none of it.
        from daintree.runners.uv import complaint, install_hint, run_uv

        # uv keeps the lock open: should this process be killed, the next one waits until its uv has
        # ended, too.
        done = run_uv(arguments, pass_fds=[lock])
        if done.code:
            indented = complaint(done).replace("\n", "\n    ")
            raise EnvironmentFailed(
                f"the environment for {self._owner} could not be made; uv says:\n    {indented}",
                hint=install_hint(done.complaint()),
            )

    def _announcement(self) -> str:
        packages = count(len(self._locked.packages), "package")
        size = self._locked.size or "size not recorded"
        return f"installing {packages} ({size}) for {self._owner}, the first time only"


@contextlib.contextmanager
def _locked(path: Path, wait: Callable[[], None] | None = None) -> Iterator[int]:
    """Hold a lock file, which its holder's death frees; yields its descriptor.

    Calls `wait` before it waits for another holder; without it, raises BlockingIOError.
    """
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if wait is None:
                    raise
                wait()
                fcntl.flock(lock, fcntl.LOCK_EX)
            # Whoever removes an environment removes its lock file, too.
            try:
                is_there = os.path.samestat(os.stat(path), os.fstat(lock))
            except FileNotFoundError:
                is_there = False
            if is_there:
                yield lock
                return
        finally:
            os.close(lock)


@contextlib.contextmanager
def _translate_errors(place: Path) -> Iterator[None]:
    """Raise EnvironmentFailed, with a hint, for each OSError in the block."""
    try:
        yield
    except OSError as error:
        raise EnvironmentFailed(
            f"cannot write to {error.filename or place}: {error.strerror}",
            hint="`doit config` shows where environments are kept, and how to choose another place",
        ) from None


def _read(requirements: Path | None) -> LockedRequirements:
    if requirements is None:
        return LockedRequirements(())
    try:
        return read_requirements(requirements.read_bytes(), str(requirements))
    except FileNotFoundError:
        return LockedRequirements(())
    except OSError as error:
        raise EnvironmentFailed(f"{requirements}: {error.strerror}") from None


def read_requirements(content: bytes, where: str) -> LockedRequirements:
    """Read a file's content. Raises EnvironmentFailed, which names `where` it is, for what no environment is made of."""
    try:
        locked = parse_requirements(content.decode())
    except UnicodeDecodeError:
        raise EnvironmentFailed(f"{where}: is not UTF-8") from None
    for line in locked.lines:
        if _INCLUDES.match(line):
            raise EnvironmentFailed(
                f"{where}: brings in another file: {line}",
                hint="`doit lock` writes everything into one file",
            )
        refused = refused_requirement(line)
        if refused:
            raise EnvironmentFailed(f"{where}: {line!r} {refused[0]}", hint=refused[1])
        # uv asks for no hash of what a marker leaves out on this machine.
        if not re.search("--hash|#|;", line):
            raise EnvironmentFailed(
                f"{where}: {line!r} has no hash",
                hint="requirements.txt must be complete and with hashes: `doit lock` writes it so",
            )
    return locked


def _is_whole(environment: Path) -> bool:
    return (environment / "bin" / "python").exists() and not missing_files(environment)


def missing_files(environment: Path) -> list[str]:
    """The files of an environment that are gone or of another size; empty where there is no environment."""
    try:
        lines = (environment / FILE_LIST).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return [FILE_LIST] if environment.is_dir() else []
    there = dict(_files(environment))
    expected = (line.partition(" ") for line in lines.split("\0") if line)
    return [path for size, _, path in expected if there.get(path) != int(size)]


def _write_file_list(environment: Path) -> None:
    # Separated by what no path holds.
    text = "".join(f"{size} {path}\0" for path, size in _files(environment))
    (environment / FILE_LIST).write_text(text, encoding="utf-8", errors="surrogateescape")


def _files(environment: Path) -> Iterator[tuple[str, int]]:
    """Each file that does not change once an environment is made, by its path there, and its size."""
    start = len(str(environment)) + 1
    changing = {str(bytecode_directory(environment / "bin/python")), str(environment / FILE_LIST)}
    waiting = [str(environment)]
    while waiting:
        with contextlib.suppress(FileNotFoundError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.path in changing:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    yield entry.path[start:], entry.stat(follow_symlinks=False).st_size


def installed_size(python: Path) -> str:
    """The disk that the packages of a Python's environment take, e.g. "26 MB" (powers of 1000)."""
    files = _files(environment_of(python))
    amount: float = sum(size for path, size in files if path.startswith("lib/"))
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _remove(directory: Path) -> None:
    if os.path.lexists(directory):
        shutil.rmtree(directory)
