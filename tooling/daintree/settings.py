"""Settings: `[tool.daintree]` of pyproject.toml, and `DAINTREE_*`, which wins; where the project is, and where this tooling came from.

Nothing else reads either. Every setting has a type, a default and a line of help, all here; `doit config` and the reference page are made from them.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias, get_origin, get_type_hints
from urllib.parse import urlsplit

from daintree import __version__
from daintree.errors import SettingsError, UsageError, nearest

_SEGMENT = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
# Patterns are compiled where they are first used: most commands need none of them.
_REGISTRY = rf"(?:[a-z0-9][a-z0-9.-]*|\[[0-9a-f:]+\])(?::\d+)?(?:/{_SEGMENT})*"
_KUBERNETES_NAME = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_PIN = r"(?:sha256:)?([0-9a-f]{64})"
_PROJECT = r"\w[\w .-]{0,99}"
_UNITS = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
_SIZE = r"([1-9][0-9]{0,15})(Ki|Mi|Gi|Ti|)"
PREFIX_FIELDS = ("component", "version", "year", "month", "day", "timestamp")

# How a value is read: from text or TOML, with the directory that a relative path starts at. Raises ValueError.
Read: TypeAlias = Callable[[Any, Path], Any]


def home_directory(environ: Mapping[str, str]) -> Path:
    """The user's home: $HOME, or else what the system's accounts say. Raises SettingsError when neither is an absolute path."""
    home = environ.get("HOME", "")
    if not os.path.isabs(home):
        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            home = ""
    if not os.path.isabs(home):
        raise SettingsError(
            "there is no home directory: HOME is not an absolute path, and this account has none",
            hint="set HOME, or XDG_CACHE_HOME for the caches alone, to the absolute path of a directory",
        )
    return Path(home)


def expand_home(path: str) -> str:
    """The path with a leading `~` or `~user` replaced. Raises SettingsError when there is no such home directory."""
    first, slash, rest = path.partition("/")
    if not first.startswith("~"):
        return path
    home = str(home_directory(os.environ)) if first == "~" else os.path.expanduser(first)
    if not os.path.isabs(home):
        raise SettingsError(
            f"{path}: there is no user {first[1:]!r} with a home directory",
            hint="write ./~… for a directory whose name begins with ~",
        )
    return home + slash + rest


def read_text(value: Any, base: Path) -> str:
    """Any text but an empty one. Raises ValueError."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("expected text")
    return value


def read_project(value: Any, base: Path) -> str:
    """The name of a project. Raises ValueError."""
    text = read_text(value, base)
    if not re.fullmatch(_PROJECT, text):
        raise ValueError("expected at most 100 letters, digits, spaces and . _ -")
    return text


def read_directory(value: Any, base: Path) -> Path:
    """A directory, absolute. Raises SettingsError for a `~` without a home."""
    return Path(os.path.abspath(base / expand_home(read_text(value, base))))


def read_store(value: Any, base: Path) -> str:
    """A directory, or a URL as it stands."""
    text = read_text(value, base)
    return text if "://" in text else str(read_directory(text, base))


def one_of(*words: str) -> Read:
    """One of these words."""

    def read(value: Any, base: Path) -> str:
        if value not in words:
            raise ValueError(f"expected {', '.join(words[:-1])} or {words[-1]}")
        return str(value)

    return read


def whole_number(lowest: int, highest: int, expected: str) -> Read:
    """A whole number in a range, called `expected` where it is none."""

    def read(value: Any, base: Path) -> int:
        digits = "" if isinstance(value, bool) else str(value)
        if not digits.isdecimal() or len(digits) > 15 or not lowest <= int(digits) <= highest:
            raise ValueError(f"expected {expected}")
        return int(digits)

    return read


def read_platform(value: Any, base: Path) -> str:
    """os/architecture. Raises ValueError."""
    text = read_text(value, base)
    if not 2 <= len(text.split("/")) <= 3 or not all(text.split("/")):
        raise ValueError("expected os/architecture, such as linux/amd64")
    return text


def read_registry(value: Any, base: Path) -> str:
    """A registry's host, port and path. Raises ValueError."""
    text = read_text(value, base).rstrip("/")
    host = text.partition("/")[0]
    # Docker takes a first part without any of these for a name on Docker Hub.
    if not re.fullmatch(_REGISTRY, text) or not ({".", ":"} & set(host) or host == "localhost"):
        raise ValueError("expected host[:port][/path] in small letters, without https://")
    return text


def read_switch(value: Any, base: Path) -> bool:
    """true or false. Raises ValueError."""
    if str(value).lower() not in ("true", "false"):
        raise ValueError("expected true or false")
    return str(value).lower() == "true"


def read_prefix(value: Any, base: Path) -> str:
    """A path in the store, with fields that each run fills in. Raises ValueError."""
    text = read_text(value, base)
    inside = {"", ".", ".."}.isdisjoint(text.split("/"))
    if not inside or "{timestamp}" not in text or "{component}" not in text:
        raise ValueError("expected a relative path with {component} and {timestamp} in it")
    if text.startswith("_"):
        raise ValueError("expected a path that does not begin with _, as the store's own do")
    if set("{}") & set(re.sub(rf"{{({'|'.join(PREFIX_FIELDS)})}}", "", text)):
        raise ValueError("expected only the fields " + ", ".join(PREFIX_FIELDS))
    return text


def read_kubernetes_name(value: Any, base: Path) -> str:
    """The name of a namespace or a secret in Kubernetes. Raises ValueError."""
    if not isinstance(value, str) or not re.fullmatch(_KUBERNETES_NAME, value):
        raise ValueError("expected small letters, digits and -, at most 63")
    return value


def read_endpoint(value: Any, base: Path) -> str:
    """The URL of a server, without anything else in it. Raises ValueError."""
    text = read_text(value, base).rstrip("/")
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in text or parts.path:
        raise ValueError("expected http://host:port or https://host")
    return text


def table_of(key: str, text: str) -> Read:
    """A table of texts, or `key=text,…` in one text."""

    def read(value: Any, base: Path) -> dict[str, str]:
        if isinstance(value, str):
            value = dict(pair.partition("=")[::2] for pair in value.split(",") if pair)
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise ValueError(f"expected a table of {key} = {text}")
        return dict(value)

    return read


def read_bases(value: Any, base: Path) -> dict[str, str]:
    """Pins of base images by reference. Raises ValueError."""
    pins: dict[str, str] = {}
    for image, digest in table_of("image", "digest")(value, base).items():
        hexadecimal = re.fullmatch(_PIN, digest)
        if hexadecimal is None:
            raise ValueError(f"the pin of {image} must be sha256:<64 hex digits>")
        pins[image] = f"sha256:{hexadecimal[1]}"
    return pins


def read_size(value: Any, base: Path) -> int:
    """A number of bytes, with a unit if it is a large one. Raises ValueError."""
    match = re.fullmatch(_SIZE, str(value))
    if match is None or isinstance(value, bool):
        raise ValueError("expected a number of bytes such as 512Mi or 20Gi")
    return int(match[1]) * _UNITS[match[2]]


def read_hosts(value: Any, base: Path) -> tuple[str, ...]:
    """Names of hosts: a list, or `host,…`. Raises ValueError."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("expected a list of host names")
    hosts = tuple(name.strip().lower() for name in names if name.strip())
    if any("/" in host or "@" in host for host in hosts):
        raise ValueError("expected host names, without http:// and without a path")
    return hosts


ENVIRONMENT_PREFIX = "DAINTREE_"


def variable(name: str) -> str:
    """The environment variable of a setting, which wins over pyproject.toml."""
    return ENVIRONMENT_PREFIX + name.upper()


class Setting(NamedTuple):
    """Description of a setting: its default (of the environment, where it is called), how it is read, its help."""

    default: Any
    read: Read
    help: str

    def default_value(self, environ: Mapping[str, str]) -> Any:
        """The value of a setting that nobody has set. Raises SettingsError where it lies in a home directory and there is none."""
        return self.default(environ) if callable(self.default) else self.default


def cache_directory(environ: Mapping[str, str]) -> Path:
    """The user's cache directory for this tooling: in $XDG_CACHE_HOME, or else in the platform's own below the home."""
    base = environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):
        return Path(base) / "daintree"
    caches = "Library/Caches" if sys.platform == "darwin" else ".cache"
    return home_directory(environ) / caches / "daintree"


def _cached(name: str, kind: type = Path) -> Callable[[Mapping[str, str]], Any]:
    return lambda environ: kind(cache_directory(environ) / name)


# fmt: off
class Settings(NamedTuple):
    """The settings in force for one project; `origins` names where each came from."""

    root: Path
    origins: Mapping[str, str]
    project: Annotated[str, Setting("", read_project,
        "the project's name in the records of its runs, of which `doit gc` removes no other's (default: the name in [project], else the directory's)")]
    store: Annotated[str, Setting(_cached("store", str), read_store,
        "where runs are kept: a directory (a leading ~ is your home), or s3://bucket[/prefix] to share them")]
    cache: Annotated[Path, Setting(_cached("caches"), read_directory,
        "the directory of the caches of stores in buckets, one for each address; what was fetched and computed here is kept there")]
    when_unavailable: Annotated[str, Setting("fail", one_of("fail", "local"),
        "when the server of a store in a bucket cannot be reached: fail, or local to go on with the cache alone")]
    environments: Annotated[Path, Setting(_cached("environments"), read_directory,
        "where the local runner keeps its virtual environments")]
    snapshots: Annotated[Path, Setting(_cached("snapshots"), read_directory,
        "where copies of exactly a version's files are kept")]
    images: Annotated[Path, Setting(_cached("images"), read_directory,
        "where it is remembered which images of the registry are the versions their tags say")]
    prefix: Annotated[str, Setting("{component}/{version}/{year}/{month}/{day}/{timestamp}", read_prefix,
        "where in the store a run is put; runs written under another prefix are still found")]
    runner: Annotated[str, Setting("local", read_text,
        "what executes stages unless --runner says otherwise")]
    platform: Annotated[str, Setting("linux/amd64", read_platform,
        "the one platform images are built for")]
    bases: Annotated[Mapping[str, str], Setting({}, read_bases,
        "base images' pins: image reference = sha256 digest")]
    registry: Annotated[str, Setting("", read_registry,
        "where images are pushed to and looked for, such as registry.example/ml; none: the Docker engine alone")]
    registry_plain_http: Annotated[bool, Setting(False, read_switch,
        "speak plain HTTP to a registry that is not on this machine")]
    jobs: Annotated[int, Setting(os.cpu_count() or 1, whole_number(1, 999, "a whole number from 1 to 999"),
        "how many stages or builds that do not depend on each other run side by side")]
    source_max_size: Annotated[int, Setting(1 << 40, read_size,
        "the most bytes that a source behind a URL may have, such as 20Gi")]
    source_timeout: Annotated[int, Setting(4 * 60 * 60, whole_number(1, 10**15, "a whole number of seconds"),
        "seconds that the download of a source behind a URL may take, with all attempts")]
    source_redirects: Annotated[tuple[str, ...], Setting((), read_hosts,
        "hosts that a source's server may redirect to though they are not public, or `any`")]
    format_components: Annotated[bool, Setting(False, read_switch,
        "doit lint checks the format of components and pipelines too, not of the tooling alone")]
    builder: Annotated[str, Setting("auto", one_of("auto", "buildkit", "classic"),
        "what builds images: buildkit (through the docker command), classic (the engine's API), auto for the better that is here")]
    inline_cache: Annotated[bool, Setting(False, read_switch,
        "BuildKit keeps the cache of a build in its image, and reads that of :latest")]
    build_secrets: Annotated[Mapping[str, str], Setting({}, table_of("id", "VARIABLE"),
        "secrets that Dockerfiles mount (RUN --mount=type=secret): id = the environment variable that holds it")]
    docker_pids: Annotated[int, Setting(4096, whole_number(16, 10**15, "a whole number from 16 on"),
        "how many processes and threads a stage's container may have")]
    docker_tmp: Annotated[int, Setting(0, read_size,
        "how much /tmp of a stage's container may hold, which is memory (default: a quarter of the stage's memory)")]
    argo_namespace: Annotated[str, Setting("daintree", read_kubernetes_name,
        "the Kubernetes namespace in which Workflows run")]
    argo_endpoint: Annotated[str, Setting("", read_endpoint,
        "the store's server as pods reach it, such as http://minio.minio:9000 (default: as this machine does)")]
    argo_image: Annotated[str, Setting("", read_text,
        "the tooling's own image, which records and retrains in the cluster (default: the one that doit build pushes)")]
    argo_pull_secret: Annotated[str, Setting("", read_kubernetes_name,
        "the secret with which pods pull images (default: none)")]
    argo_env_secret: Annotated[str, Setting("", read_kubernetes_name,
        "the secret with the variables that components name in env, a key each (default: none)")]
    argo_node_selector: Annotated[Mapping[str, str], Setting({}, table_of("label", "text"),
        "labels of the nodes on which pods run: label = value")]
    argo_deadline: Annotated[int, Setting(24 * 60 * 60, whole_number(1, 10**15, "a whole number of seconds"),
        "seconds after which a Workflow that still runs is ended")]
# fmt: on

    @property
    def documents(self) -> Path:
        """The directory of parsed specification files; beside the snapshots, as easily made again."""
        return self.snapshots / "_documents"


SETTINGS: dict[str, Setting] = {
    name: hint.__metadata__[0]
    for name, hint in get_type_hints(Settings, include_extras=True).items()
    if get_origin(hint) is Annotated
}


def read_settings(root: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of the project at `root`.

    A relative path starts at the project in pyproject.toml, at the current directory in the environment.
    Raises SettingsError for an unknown name (with the nearest one), a wrong type, a wrong value or a missing home directory.
    """
    environ = os.environ if environ is None else environ
    document = _read_pyproject(root)
    table = _daintree_table(document)
    for name in table:
        if name not in SETTINGS:
            raise SettingsError(
                f"pyproject.toml: [tool.daintree] has no setting {name!r}",
                hint=nearest(name, list(SETTINGS)),
            )
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name in SETTINGS:
        values[name], origins[name] = _value_of(name, table, environ, root)
    values["project"] = values["project"] or _default_project(document, root)
    return Settings(root=root, origins=origins, **values)


def _default_project(document: Mapping[str, Any], root: Path) -> str:
    """The name of the project's package, or else of its directory."""
    packaging = document.get("project")
    name = packaging.get("name") if isinstance(packaging, dict) else None
    if isinstance(name, str) and re.fullmatch(_PROJECT, name):
        return name
    # It goes into records, which hold no bytes that are no text.
    return os.fsencode(root.name or "/").decode("utf-8", "replace")


def _value_of(
    name: str, table: Mapping[str, Any], environ: Mapping[str, str], root: Path
) -> tuple[Any, str]:
    """The value of a setting, and where it came from."""
    setting, place = SETTINGS[name], variable(name)
    if environ.get(place):
        given, base, origin = environ[place], Path.cwd(), f"environment ({place})"
    elif name in table:
        given, base, origin = table[name], root, "pyproject.toml"
        place = f"pyproject.toml: {name}"
    else:
        return setting.default_value(environ), "default"
    try:
        return setting.read(given, base), origin
    except SettingsError as error:
        raise SettingsError(f"{place}: {error.message}", hint=error.hint) from None
    except ValueError as error:
        raise SettingsError(f"{place}: {error}, got {given!r}", hint=setting.help) from None


def _read_pyproject(root: Path) -> dict[str, Any]:
    try:
        content = (root / "pyproject.toml").read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsError(f"pyproject.toml cannot be read: {error.strerror}") from None
    import tomllib

    try:
        return tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"pyproject.toml is not TOML: {error}") from None


def _daintree_table(document: Mapping[str, Any]) -> dict[str, Any]:
    tools = document.get("tool", {})
    table = tools.get("daintree", {}) if isinstance(tools, dict) else None
    if not isinstance(table, dict):
        raise SettingsError("pyproject.toml: [tool.daintree] must be a table")
    return table


def find_project(start: Path) -> Path:
    """The root of the project that `start` lies in. Raises UsageError when there is none."""
    for directory in (start, *start.parents):
        if (directory / "dodo.py").is_file():
            return directory
    raise UsageError(
        f"there is no dodo.py in {start} or above it",
        hint="change into a project, or make one: doit new project DIR",
    )


def is_daintree(root: Path) -> bool:
    """True of a project with pipelines or components, False of an ordinary doit project."""
    return (root / "pipelines").is_dir() or (root / "components").is_dir()


def clone() -> Path | None:
    """The clone of this tooling's repository that it runs in; None where it was installed from a wheel."""
    root = Path(__file__).parents[2]
    return root if (root / "tooling" / "daintree").is_dir() else None


def install_command(extra: str = "") -> str:
    """The command line that installs this tooling with an extra ("": without one), for a hint.

    In a clone it is `pip install -e .`; else it names the wheel or the repository that this installation came from.
    """
    extras = f"[{extra}]" if extra else ""
    if clone():
        return f"pip install -e {shlex.quote('.' + extras)}"
    wheel = f"daintree-{__version__}-py3-none-any.whl"
    origin = installed_from()
    if not origin:
        return f"pip install {shlex.quote(wheel + extras)}, with the path of your team's wheel"
    return f"pip install {shlex.quote(f'daintree{extras} @ {origin}')}"


def installed_from() -> str:
    """The address that this installation recorded (PEP 610), as a requirement names it; "" where it recorded none.

    With the commit of a repository, and the digest of a wheel if the installer recorded it.
    """
    from importlib.metadata import distributions

    import msgspec

    # Beside a clone's pyproject.toml there is a second one, without a record; elsewhere one may be of another installation.
    here = Path(__file__).parent
    distributions_here = [
        d for d in distributions(name="daintree") if clone() or d.locate_file(here.name) == here
    ]
    records = [distribution.read_text("direct_url.json") for distribution in distributions_here]
    try:
        direct = msgspec.json.decode(next(filter(None, records), "{}"), type=dict[str, object])
    except msgspec.DecodeError:
        return ""
    url = str(direct.get("url", ""))
    vcs, archive = direct.get("vcs_info"), direct.get("archive_info")
    fragments = []
    if url and isinstance(vcs, dict):
        url = f"{vcs.get('vcs')}+{url}@{vcs.get('commit_id')}"
    if isinstance(archive, dict) and isinstance(hashes := archive.get("hashes"), dict):
        fragments = [f"{name}={digest}" for name, digest in hashes.items() if name == "sha256"]
    if direct.get("subdirectory"):
        fragments.append(f"subdirectory={direct['subdirectory']}")
    return "#".join([url, "&".join(fragments)]) if url and fragments else url
