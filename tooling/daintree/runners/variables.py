"""The environment of a stage: its variables on this machine, their secrets, and a shell in it."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from daintree.errors import EnvironmentFailed
from daintree.runners.runner import Job, bytecode_directory
from daintree.spec.component import FIXED_VARIABLES

PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
# The base that every stage on this machine gets: how to use the machine and its network, never what to compute.
BASE_VARIABLES = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME"),
        *PROXIES,
        *(name.upper() for name in PROXIES),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"),
        *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"),
        *("CUDA_HOME", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"),
        *("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HSA_OVERRIDE_GFX_VERSION"),
        *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
        *("OPENBLAS_NUM_THREADS", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"),
    )
)
# The settings and keys of an object store; only for a stage that reads or writes one itself.
STORE_PREFIXES = ("AWS_", "MINIO_")
_STORE_KEYS = ("_SECRET_KEY", "_SECRET_ACCESS_KEY", "_SESSION_TOKEN")

# Beside the project file; never in git.
ENV_FILE = ".env"
# A shorter value stands in too many innocent places.
SHORTEST_SECRET = 8
MASKED = b"***"

_NO_KEYS = re.compile(r"NoCredentials|[Uu]nable to locate credentials|PartialCredentials")
_NO_MODULE = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")


def stage_variables(
    outside: Mapping[str, str],
    python: Path,
    scratch: Path,
    *,
    names: Collection[str] = (),
    object_store: bool = False,
) -> dict[str, str]:
    """The variables of a stage run by an environment's `python`, with `scratch` for temporary files.

    Of `outside` pass the base, the `names` that the component declares and, for an `object_store`, the access that the tooling
    itself has; nothing else, because the same component runs in a container and no variable is part of a stage key. Locale, time zone
    and hash seed are fixed. The result may hold credentials: never to be shown or recorded whole.
    """
    passed = {
        name: value for name, value in outside.items() if name in BASE_VARIABLES or name in names
    }
    if object_store:
        from daintree.store.s3 import read_s3_access

        passed |= read_s3_access(outside).variables(outside)
    search = [str(python.parent), *filter(None, [passed.get("PATH", os.defpath)])]
    return {
        **passed,
        **FIXED_VARIABLES,
        "PATH": os.pathsep.join(search),
        "TMPDIR": str(scratch),
        # Bytecode beside the sources would change the snapshot; none at all would slow every import
        # down.
        "PYTHONPYCACHEPREFIX": str(bytecode_directory(python)),
    }


def environment_for(root: Path, names: Collection[str]) -> Mapping[str, str]:
    """The environment of this process and, beneath it, what the project's `.env` has of these names.

    Never to be shown or recorded whole. Raises EnvironmentFailed for a `.env` that cannot be read, or that git tracks.
    """
    if not names:
        return os.environ
    path = root / ENV_FILE
    try:
        status = path.stat()
    except FileNotFoundError:
        return os.environ
    except OSError as error:
        raise EnvironmentFailed(f"{path}: cannot be read: {error.strerror}") from None
    values = _read_env_file(path, status.st_mtime_ns, status.st_size)
    return {**{name: values[name] for name in names if name in values}, **os.environ}


@functools.lru_cache(maxsize=4)
def _read_env_file(path: Path, changed: int, size: int) -> Mapping[str, str]:
    """The values of a `.env` file; the time of its last change and its size say when to read it again."""
    # Imported here: few stages have a secret.
    from dotenv import dotenv_values

    from daintree.components.git import attempt

    # A link is as public as what it leads to.
    if any(
        attempt(place.parent, "ls-files", "--error-unmatch", "--", place.name).code == 0
        for place in {path, path.resolve()}
    ):
        raise EnvironmentFailed(
            f"{path} is tracked by git, so what it holds is no secret; it is not read",
            hint=f"git rm --cached {path.name}, name it in .gitignore, and change the secrets that were in it",
        )
    try:
        # Editors of Windows begin a file with a mark.
        with open(path, encoding="utf-8-sig") as stream:
            values = dotenv_values(stream=stream, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise EnvironmentFailed(f"{path}: cannot be read: {reason}") from None
    return {name: value for name, value in values.items() if value is not None}


def missing_variables(
    component: str, names: Collection[str], root: Path
) -> EnvironmentFailed | None:
    """The error of a component that names variables which neither the environment nor the project's `.env` has; None where all are there."""
    try:
        outside = environment_for(root, names)
    except EnvironmentFailed as error:
        return EnvironmentFailed(f"{component}: {error.message}", hint=error.hint)
    missing = [name for name in names if name not in outside]
    broken = [name for name in names if "\0" in outside.get(name, "")]
    if broken:
        return EnvironmentFailed(
            f"{component}: the variable {broken[0]} holds a null byte, which no process can be given",
            hint=f"correct it in {ENV_FILE}",
        )
    if not missing:
        return None
    noun, them = ("variables", "them") if len(missing) > 1 else ("variable", "it")
    assignments = [f"{name}=…" for name in missing]
    return EnvironmentFailed(
        f"{component} needs the environment {noun} {', '.join(missing)}: its component.yaml names {them} in `env`",
        hint=f"export {' '.join(assignments)}, or a line {' and a line '.join(assignments)} in the project's {ENV_FILE}",
    )


class Mask:
    """Replaces secrets in a stream of bytes that comes in chunks: `values`, and each line of theirs, of at least 8 characters.

    Of a chunk, only what could be the beginning of a secret is held back until the next one.
    """

    def __init__(self, values: Iterable[str]) -> None:
        candidates = {part for value in values for part in (value, *value.split("\n"))}
        stripped = {*candidates, *(part.strip() for part in candidates)}
        secrets = [part for part in stripped if len(part) >= SHORTEST_SECRET]
        self._secrets = [secret.encode("utf-8", "surrogateescape") for secret in secrets]
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        """The bytes that are sure by now, without secrets."""
        if not self._secrets:
            return chunk
        text = self._rest + chunk
        spans = list(self._places(text))
        end = min((self._beginning(text, secret) for secret in self._secrets), default=len(text))
        # What overlaps a secret is hidden together with it.
        end = min([end, *(start for start, stop in spans if start < end < stop)])
        self._rest = text[end:]
        return _replaced(text[:end], [place for place in spans if place[1] <= end])

    def finish(self) -> bytes:
        """The rest once the stream has ended."""
        text, self._rest = self._rest, b""
        return _replaced(text, list(self._places(text)))

    def _places(self, text: bytes) -> Iterator[tuple[int, int]]:
        """The beginnings and ends of all that is to be hidden, in order, those that overlap as one."""
        starts = ((m.start(), len(s)) for s in self._secrets for m in _all(s, text))
        places = sorted((start, start + length) for start, length in starts)
        while places:
            start, stop = places.pop(0)
            while places and places[0][0] < stop:
                stop = max(stop, places.pop(0)[1])
            yield start, stop

    @staticmethod
    def _beginning(text: bytes, secret: bytes) -> int:
        """The place from which on the text could be the beginning of the secret."""
        for start in range(max(0, len(text) - len(secret) + 1), len(text)):
            if secret.startswith(text[start:]):
                return start
        return len(text)


def _all(secret: bytes, text: bytes) -> Iterator[re.Match[bytes]]:
    """Each place of the secret, also those that overlap."""
    return re.finditer(b"(?=" + re.escape(secret) + b")", text)


def _replaced(text: bytes, places: Sequence[tuple[int, int]]) -> bytes:
    for start, stop in reversed(places):
        text = text[:start] + MASKED + text[stop:]
    return text


def masked(text: str, values: Iterable[str]) -> str:
    """The text without secrets, as `Mask` hides them."""
    mask = Mask(values)
    content = text.encode("utf-8", "surrogateescape")
    return (mask.feed(content) + mask.finish()).decode("utf-8", "surrogateescape")


def failure_hint(
    component: str, last_lines: Sequence[str], names: Collection[str], outside: Mapping[str, str]
) -> str:
    """The cure for a stage that failed for want of a variable or a package, from its last lines; "" for none known."""
    text = "\n".join(last_lines)
    module = _NO_MODULE.search(text)
    if module:
        return (
            f"is the package of {module[1]} in components/{component}/requirements.in, and is that locked?"
            f" doit lock {component}"
        )
    withheld = [
        name
        for name in dict.fromkeys(re.findall(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+", text))
        if name in outside and name not in names and name not in BASE_VARIABLES
    ]
    if not withheld and _NO_KEYS.search(text):
        withheld = [n for n in sorted(outside) if n.startswith(STORE_PREFIXES) and n not in names]
    if not withheld:
        return ""
    return (
        "a stage gets only the variables that its component names:"
        f" env: [{', '.join(withheld)}] in components/{component}/component.yaml"
    )


def secrets_of(variables: Mapping[str, str], names: Collection[str]) -> list[str]:
    """The values that no log may hold: of the variables that the component names, and the keys of an object store."""
    return [v for n, v in variables.items() if n in names or n.endswith(_STORE_KEYS)]


# $0 is the file that an interactive bash reads first; what is no terminal is read as a script.
_START = 'if command -v bash >/dev/null; then exec bash --rcfile "$0"; else exec sh; fi'
_RUN = """\
#!/bin/sh
# A component writes into an empty directory.
find {output} -mindepth 1 -depth -exec rm -rf {{}} +
exec {command} "$@"
"""
_FIRST = """\
PS1={prompt}
history -s "$RUN"
"""


# Python runs this first. A module of the directory of links is imported from where its link leads, which is what tracebacks name.
_IMPORTS = """\
import os, sys
from importlib.machinery import PathFinder


class WorkingTree:
    @staticmethod
    def find_spec(name, path=None, target=None):
        for entry in (name, name + ".py") if path is None else ():
            link = os.path.join({application!r}, entry)
            if os.path.islink(link):
                return PathFinder.find_spec(name, [os.path.dirname(os.readlink(link))])
        return None


sys.meta_path.insert(sys.meta_path.index(PathFinder), WorkingTree)
"""


def shell_command(
    job: Job, stage: Sequence[str], *, application: str, input: str, output: str, scratch: str
) -> tuple[list[str], dict[str, str]]:
    """The command that starts a shell, and the variables it needs: RUN, INPUT, OUTPUT, TERM and, in a working tree, PYTHONPATH.

    `stage` is the stage's own command, which the script $RUN runs after it has emptied the output; `application` (the version's
    files), `input`, `output` and `scratch` (the job's, where the script is written) are paths as the shell will see them.
    """
    import shlex

    script = job.scratch / "run"
    command, quoted = shlex.join(stage), shlex.quote(output)
    script.write_text(_RUN.format(output=quoted, command=command), encoding="utf-8")
    script.chmod(0o755)
    first = _FIRST.format(prompt=shlex.quote(f"({job.label}) $ "))
    (job.scratch / "first").write_text(first, encoding="utf-8")
    terminal = os.environ.get("TERM", "dumb")
    variables = {"RUN": f"{scratch}/run", "INPUT": input, "OUTPUT": output, "TERM": terminal}
    if job.working_tree:
        imports = job.scratch / "python" / "sitecustomize.py"
        imports.parent.mkdir()
        imports.write_text(_IMPORTS.format(application=application), encoding="utf-8")
        # A program that is a link finds its libraries no more beside it.
        variables["PYTHONPATH"] = f"{scratch}/python:{application}"
    return ["sh", "-c", _START, f"{scratch}/first"], variables
