"""A pipeline's `output:` directory: a copy of stage outputs that is whole at every moment.

A small file beside the directory (`.<name>.daintree.json`) remembers what was put there and by which runs, so that
nothing is copied twice and no directory is replaced that the tooling did not make.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec

from daintree.errors import ArtifactDamaged, DaintreeError, SpecError, UsageError
from daintree.settings import expand_home
from daintree.spec.component import Scalar
from daintree.spec.pipeline import Pipeline, load_pipeline, pipeline_files
from daintree.store.integrity import walk
from daintree.store.layout import check_names
from daintree.store.records import FileEntry, IndexRecord
from daintree.store.store import Store

CHUNK = 1 << 20

# What file managers, notebooks, editors, Python and NFS leave beside the files that people look at: never a reason to
# refuse, and kept. The names of files, and of directories above them.
_LITTER = (
    r"(?i)\.DS_Store|Thumbs\.db|desktop\.ini|\._.*|\.nfs[0-9a-f]*|\..*\.sw[a-z]|.*~|\.#.*|#.*#|\.~lock\..*#"
    r"|~\$.*|\..*\.kate-swp|\.goutputstream-.*|\.fuse_hidden.*|\.directory|@eaDir|\.idea|\.vscode"
    r"|\.ipynb_checkpoints|\.virtual_documents|__pycache__|\.git(keep|ignore)|\.(pytest|mypy|ruff)_cache"
    r"|\.(fseventsd|apdisk|Trashes|TemporaryItems|Spotlight-V100|DocumentRevisions-V100)|__MACOSX"
    r"|\.R(history|Data|proj\.user)|\.(ropeproject|spyproject|vs|fleet|zed|netrwhist|stfolder|stversions|stignore)"
    r"|\.sync(_.*\.db|\.ffs_db)|\.(own|next)cloudsync\.log"
    r"|ehthumbs\.db|icon\r|\.localized|\.AppleDouble|\.Trash-\d+|\.syncthing\..*|\.dropbox(\..*)?|lost\+found"
)
MOST_NAMED = 3

# Files by path below the directory: size, and the times (ns) of the last write and of the last change to the inode.
_Files: TypeAlias = dict[str, tuple[int, int, int]]


class Origin(msgspec.Struct, frozen=True):
    """The run whose output was copied: its id and place, its stage, parameters and commit (`dirty`: with changes on top).

    `combination` are the values that a sweep has given to parameters, of stages before it as well, named `stage.parameter`.
    """

    run: str
    location: str
    pipeline: str
    stage: str
    parameters: dict[str, Scalar]
    commit: str
    dirty: bool
    combination: dict[str, Scalar] = {}


class _Published(msgspec.Struct, frozen=True):
    """Content that the tooling has put into an output directory, by subdirectory ("" for none), and the files."""

    digests: dict[str, str]
    files: _Files
    runs: dict[str, Origin] = {}


class Copied(NamedTuple):
    """An artifact to be copied: its digest, the call that makes a verified copy of it at a path that does not exist, the run it is of, and its combination of a sweep."""

    digest: str
    write: Callable[[Path], None]
    record: IndexRecord | None = None
    combination: Mapping[str, Scalar] = {}


def publish_output(
    directory: Path,
    records: Mapping[str, IndexRecord],
    store: Store,
    root: Path,
    combination: Mapping[str, Scalar] = {},
) -> bool:
    """Make `directory` a copy of these outputs, as `publish_copy` does; each file is verified while it is copied.

    `combination` is that of a sweep which they are of.

    Raises ArtifactDamaged when a stored output is not whole.
    """
    contents = {
        name: copy_of(record, store)._replace(combination=combination)
        for name, record in records.items()
    }
    return publish_copy(directory, contents, store, root, option="--output")


def copy_of(record: IndexRecord, store: Store) -> Copied:
    """A stored output as what is to be copied."""
    return Copied(record.digest, lambda target: _copy(record, target, store), record)


def publish_copy(
    directory: Path, contents: Mapping[str, Copied], store: Store, root: Path, *, option: str
) -> bool:
    """Make `directory` hold these, by subdirectory ("" for the directory itself); True if anything was copied.

    The old content stays until the new one is whole. Nothing happens when it already is this copy. A link is
    followed, not replaced. Raises UsageError for a directory that holds something else (its hint names the
    `option` that names another), what copying raises, OSError as writing does.
    """
    directory = Path(os.path.realpath(directory))
    _refuse_dangerous(directory, root, store)
    digests = {name: content.digest for name, content in contents.items()}
    marker = _marker(directory)
    runs = {
        name: (content.record.run, content.combination)
        for name, content in contents.items()
        if content.record
    }
    published = _read(marker)
    if published and _is_copy(directory, published, digests) and _run_ids(published) == runs:
        return False
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(directory.parent) as alone:
        published = _read(marker)
        origins = _origins(contents, store)
        if published and _is_copy(directory, published, digests):
            if _run_ids(published) != runs:
                with suppress(OSError):
                    _write(
                        marker, _Published(digests, published.files, origins), _temporary(directory)
                    )
            return False
        present = _replaceable(directory, published, option)
        if alone:
            _sweep(directory)
        fresh = _temporary(directory)
        try:
            for name, content in contents.items():
                content.write(fresh / name)
            files = _listing(fresh)
            _copy_litter(directory, published, fresh)
            # Whoever is killed between these three leaves files that the next run knows as the tooling's own.
            _write(marker, _Published({}, {**present, **files}), _temporary(directory))
            _swap(fresh, directory)
            _write(marker, _Published(digests, files, origins), _temporary(directory))
        finally:
            _remove(fresh)
    return True


def check_place(directory: Path, store: Store, root: Path) -> None:
    """Raise UsageError unless an output may be put into `directory`: what lies there now may be replaced by it."""
    directory = Path(os.path.realpath(directory))
    _refuse_dangerous(directory, root, store)
    _replaceable(directory, _read(_marker(directory)), "--output")


def check_outputs(root: Path, pipeline: Pipeline) -> None:
    """Raise SpecError where another pipeline's output is the same directory as this one's, or one is inside the other.

    Files that cannot be read are passed over: they are errors of their own pipelines.
    """
    mine = Path(os.path.realpath(root / expand_home(pipeline.output)))
    for name in pipeline_files(root).keys() - {pipeline.name}:
        try:
            other = load_pipeline(root, name, ())
        except DaintreeError:
            continue
        theirs = Path(os.path.realpath(root / expand_home(other.output)))
        if other.output and (mine.is_relative_to(theirs) or theirs.is_relative_to(mine)):
            raise SpecError(
                f"{pipeline.file}: the output {pipeline.output} and that of {other.file}, {other.output}, "
                + ("are one directory" if mine == theirs else "lie one in the other"),
                hint="each run would replace the other's: give each pipeline a directory of its own",
            )


def origins_of(directory: Path) -> tuple[dict[str, Origin], bool]:
    """Return the runs whose outputs were copied to a directory, by subdirectory ("" for none), and whether it still is that copy.

    Nothing for a directory to which no run was copied.
    """
    directory = Path(os.path.realpath(directory))
    published = _read(_marker(directory)) if directory.name else None
    if published is None:
        return {}, False
    return published.runs, _is_copy(directory, published, published.digests)


def _origins(contents: Mapping[str, Copied], store: Store) -> dict[str, Origin]:
    runs = {name: store.read_run(c.record.location) for name, c in contents.items() if c.record}
    return {
        name: Origin(
            run=run.run,
            location=run.location,
            pipeline=run.pipeline,
            stage=run.stage,
            parameters=run.parameters,
            commit=run.commit,
            dirty=run.dirty,
            combination=dict(contents[name].combination),
        )
        for name, run in runs.items()
        if run
    }


def _run_ids(published: _Published) -> dict[str, tuple[str, Mapping[str, Scalar]]]:
    """The run's id, and its combination of a sweep, by subdirectory."""
    return {name: (origin.run, origin.combination) for name, origin in published.runs.items()}


def _marker(directory: Path) -> Path:
    return directory.with_name(f".{directory.name}.daintree.json")


def _refuse_dangerous(directory: Path, root: Path, store: Store) -> None:
    root, store_directory, home = (
        Path(os.path.realpath(p)) for p in (root, store.directory, os.path.expanduser("~"))
    )
    protected = {
        root: "the project",
        store_directory: "the artifact store",
        home: "your home directory",
    }
    for path, name in protected.items():
        if path.is_relative_to(directory):
            raise UsageError(
                f"the output {directory} would replace {name}", hint="name a directory of its own"
            )
    if directory.is_relative_to(store_directory):
        raise UsageError(
            f"the output {directory} lies in the artifact store", hint="name another directory"
        )
    for name in (".git", "components", "pipelines"):
        if directory.is_relative_to(root / name):
            raise UsageError(
                f"the output {directory} lies in the project's {name}/",
                hint="name another directory",
            )


def _is_copy(directory: Path, published: _Published, digests: Mapping[str, str]) -> bool:
    return (
        published.digests == digests
        and directory.is_dir()
        and published.files == _without_litter(_listing(directory), published.files)
    )


def _replaceable(directory: Path, published: _Published | None, option: str) -> _Files:
    """The files in the directory but for litter, all of which the tooling has put there. Raises UsageError otherwise."""
    if not os.path.lexists(directory):
        return {}
    present = _listing(directory) if directory.is_dir() else {".": (0, 0, 0)}
    known = published.files if published else {}
    present = _without_litter(present, known)
    strange = sorted(present.keys() - known.keys())
    if strange:
        more = f" and {len(strange) - MOST_NAMED} more" if len(strange) > MOST_NAMED else ""
        names = ", ".join(map(repr, strange[:MOST_NAMED])) + more
        what = "is a file" if strange == ["."] else f"holds {names}"
        raise UsageError(
            f"the output {directory} {what}, which no run has put there",
            hint=f"name another directory with {option}, or move this away",
        )
    return present


def _without_litter(files: _Files, known: _Files) -> _Files:
    """The files that are known, or are no litter: a stage may well write a file of such a name."""
    return {path: facts for path, facts in files.items() if path in known or not _is_litter(path)}


def _is_litter(path: str) -> bool:
    return any(re.fullmatch(_LITTER, segment) for segment in path.split("/"))


def _copy_litter(directory: Path, published: _Published | None, fresh: Path) -> None:
    """Copy litter from a directory to the one that takes its place; what cannot be copied is not worth a failure."""
    if not directory.is_dir():
        return
    known = published.files if published else {}
    for path in _listing(directory).keys() - known.keys():
        target = fresh / path
        if _is_litter(path) and not os.path.lexists(target):
            with suppress(OSError):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(directory / path, target, follow_symlinks=False)


@contextmanager
def _one_at_a_time(parent: Path) -> Iterator[bool]:
    """Lock the directory; False where its file system has no such locks (some network file systems)."""
    descriptor = os.open(parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            alone = True
        except OSError:
            alone = False
        yield alone
    finally:
        os.close(descriptor)


def _temporary(directory: Path) -> Path:
    return directory.with_name(f".{directory.name}.{os.urandom(6).hex()}.new")


def _sweep(directory: Path) -> None:
    """Remove what runs that were killed have left half-made."""
    half_made = re.compile(re.escape(f".{directory.name}.") + r"[0-9a-f]{12}\.new(\.old)?\Z")
    for path in directory.parent.iterdir():
        if half_made.match(path.name):
            _remove(path)


def _read(marker: Path) -> _Published | None:
    try:
        return msgspec.json.decode(marker.read_bytes(), type=_Published)
    except (OSError, msgspec.DecodeError):
        return None


def _write(marker: Path, published: _Published, temporary: Path) -> None:
    temporary.write_bytes(msgspec.json.encode(published, order="sorted"))
    temporary.replace(marker)


def _listing(directory: Path) -> _Files:
    return {
        path: (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        for path, status in walk(str(directory))
    }


def _copy(record: IndexRecord, target: Path, store: Store) -> None:
    manifest = store.read_run(record.location)
    try:
        if manifest is None or manifest.output is None:
            lost = f"run {record.run} has lost its run.json"
            raise ArtifactDamaged(lost, file="run.json", kind="missing")
        check_names(entry.path for entry in manifest.output.files)
        origin = store.output_path(record)
        for entry in manifest.output.files:
            path = target / entry.path
            path.parent.mkdir(parents=True, exist_ok=True)
            _copy_file(origin / entry.path, path, entry)
    except ArtifactDamaged as damage:
        damage.hint = "run again"
        raise


def _copy_file(origin: Path, path: Path, entry: FileEntry) -> None:
    digest = hashlib.sha256()
    try:
        with open(origin, "rb") as reader, open(path, "wb") as writer:
            while chunk := reader.read(CHUNK):
                digest.update(chunk)
                writer.write(chunk)
    except FileNotFoundError:
        raise ArtifactDamaged.missing(entry.path) from None
    if digest.hexdigest() != entry.sha256:
        raise ArtifactDamaged.damaged(entry.path)


def _swap(fresh: Path, directory: Path) -> None:
    """Put `fresh` in the place of `directory`; whatever was there is left under `fresh`'s name."""
    if not os.path.lexists(directory):
        fresh.rename(directory)
    elif not _exchange(fresh, directory):
        # No atomic exchange here: between two renames the directory is missing for an instant, never half-written.
        old = directory.with_name(fresh.name + ".old")
        directory.rename(old)
        fresh.rename(directory)
        old.rename(fresh)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two directories in one step where the system can (Linux renameat2, macOS renamex_np)."""
    import ctypes
    import sys

    library = ctypes.CDLL(None, use_errno=True)
    first, second = os.fsencode(one), os.fsencode(other)
    at_cwd, exchange = -100, 2
    try:
        if sys.platform == "darwin":
            return int(library.renamex_np(first, second, exchange)) == 0
        return int(library.renameat2(at_cwd, first, at_cwd, second, exchange)) == 0
    except AttributeError:
        return False


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)
