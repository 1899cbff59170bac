"""The only reader of configuration: `[tool.daintree]` of pyproject.toml, and `DAINTREE_*` which wins.

Every setting has a type, a default and a line of help, all here; `doit config` and the reference page are made from them.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from daintree.errors import SettingsError, UsageError
from daintree.terminal import nearest

_SEGMENT = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_REGISTRY = re.compile(rf"(?:[a-z0-9][a-z0-9.-]*|\[[0-9a-f:]+\])(?::\d+)?(?:/{_SEGMENT})*")
_KUBERNETES_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
PREFIX_FIELDS = ("component", "version", "year", "month", "day", "timestamp")


def read_text(value: Any, base: Path) -> str:
    """Any text but an empty one."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("expected text")
    return value


def read_directory(value: Any, base: Path) -> Path:
    """A directory, absolute."""
    return Path(os.path.abspath(base / os.path.expanduser(read_text(value, base))))


def read_store(value: Any, base: Path) -> str:
    """A directory, or a URL as it stands."""
    text = read_text(value, base)
    return text if "://" in text else str(read_directory(text, base))


def read_unavailable(value: Any, base: Path) -> str:
    """`fail` or `local`."""
    if value not in ("fail", "local"):
        raise ValueError("expected fail or local")
    return str(value)


def read_count(value: Any, base: Path) -> int:
    """A whole number from 1 to 999."""
    if isinstance(value, bool) or not str(value).isdecimal() or not 0 < int(value) < 1000:
        raise ValueError("expected a whole number from 1 to 999")
    return int(value)


def read_platform(value: Any, base: Path) -> str:
    """os/architecture."""
    text = read_text(value, base)
    if not 2 <= len(text.split("/")) <= 3 or not all(text.split("/")):
        raise ValueError("expected os/architecture, such as linux/amd64")
    return text


def read_registry(value: Any, base: Path) -> str:
    """A registry's host, port and path."""
    text = read_text(value, base).rstrip("/")
    host = text.partition("/")[0]
    # Docker takes a first part without any of these for a name on Docker Hub.
    if not _REGISTRY.fullmatch(text) or not ({".", ":"} & set(host) or host == "localhost"):
        raise ValueError("expected host[:port][/path] in small letters, without https://")
    return text


def read_switch(value: Any, base: Path) -> bool:
    """true or false."""
    if str(value).lower() not in ("true", "false"):
        raise ValueError("expected true or false")
    return str(value).lower() == "true"


def read_prefix(value: Any, base: Path) -> str:
    """A place in the store, with fields that each run fills in."""
    text = read_text(value, base)
    segments = text.split("/")
    if (
        "{timestamp}" not in text
        or "{component}" not in text
        or not {"", ".", ".."}.isdisjoint(segments)
    ):
        raise ValueError("expected a relative path with {component} and {timestamp} in it")
    if text.startswith("_"):
        raise ValueError("expected a path that does not begin with _, as the store's own places do")
    for field in PREFIX_FIELDS:
        text = text.replace("{" + field + "}", "")
    if "{" in text or "}" in text:
        raise ValueError("expected only the fields " + ", ".join(PREFIX_FIELDS))
    return str(value)


def read_builder(value: Any, base: Path) -> str:
    """`auto`, `buildkit` or `classic`."""
    if value not in ("auto", "buildkit", "classic"):
        raise ValueError("expected auto, buildkit or classic")
    return str(value)


def read_limit(value: Any, base: Path) -> int:
    """A whole number of processes, at least 16."""
    if isinstance(value, bool) or not str(value).isdecimal() or int(value) < 16:
        raise ValueError("expected a whole number from 16 on")
    return int(value)


def read_seconds(value: Any, base: Path) -> int:
    """A whole number of seconds, at least 1."""
    if isinstance(value, bool) or not str(value).isdecimal() or int(value) < 1:
        raise ValueError("expected a whole number of seconds")
    return int(value)


def read_kubernetes_name(value: Any, base: Path) -> str:
    """What Kubernetes takes for the name of a namespace or a secret."""
    if not isinstance(value, str) or not _KUBERNETES_NAME.fullmatch(value):
        raise ValueError("expected small letters, digits and -, at most 63")
    return value


def read_endpoint(value: Any, base: Path) -> str:
    """The URL of a server, without anything else in it."""
    text = read_text(value, base).rstrip("/")
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in text or parts.path:
        raise ValueError("expected http://host:port or https://host")
    return text


def read_labels(value: Any, base: Path) -> dict[str, str]:
    """Labels and their values: a table, or `label=value,…`."""
    if isinstance(value, str):
        value = dict(pair.partition("=")[::2] for pair in value.split(",") if pair)
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError("expected a table of label = text")
    return dict(value)


def read_bases(value: Any, base: Path) -> dict[str, str]:
    """Pins of base images by reference: a table, or `image=digest,…`."""
    if isinstance(value, str):
        value = dict(pair.partition("=")[::2] for pair in value.split(",") if pair)
    if not isinstance(value, dict):
        raise ValueError("expected a table of image = digest")
    pins: dict[str, str] = {}
    for image, digest in value.items():
        hexadecimal = str(digest).removeprefix("sha256:")
        if len(hexadecimal) != 64 or any(digit not in "0123456789abcdef" for digit in hexadecimal):
            raise ValueError(f"the pin of {image} must be sha256:<64 hex digits>")
        pins[image] = f"sha256:{hexadecimal}"
    return pins


_UNITS = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
_SIZE = re.compile(r"([1-9][0-9]{0,15})(Ki|Mi|Gi|Ti|)")


def read_size(value: Any, base: Path) -> int:
    """A number of bytes, with a unit if it is a large one."""
    match = _SIZE.fullmatch(str(value))
    if match is None or isinstance(value, bool):
        raise ValueError("expected a number of bytes such as 512Mi or 20Gi")
    return int(match[1]) * _UNITS[match[2]]


def read_hosts(value: Any, base: Path) -> tuple[str, ...]:
    """Names of hosts: a list, or `host,…`."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("expected a list of host names")
    hosts = tuple(name.strip().lower() for name in names if name.strip())
    if any("/" in host or "@" in host for host in hosts):
        raise ValueError("expected host names, without http:// and without a path")
    return hosts


ENVIRONMENT_PREFIX = "DAINTREE_"


class Setting(msgspec.Struct, frozen=True):
    """One setting: its name in pyproject.toml, its help, its default, and how its value is read.

    `read` takes what is given and the directory that a relative path in it starts at; it raises ValueError.
    """

    name: str
    help: str
    default: Callable[[Mapping[str, str]], Any]
    read: Callable[[Any, Path], Any]

    @property
    def variable(self) -> str:
        """The environment variable that wins over pyproject.toml."""
        return ENVIRONMENT_PREFIX + self.name.upper()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings in force for one project; `origins` says where each came from."""

    root: Path
    store: str
    cache: Path
    when_unavailable: str
    environments: Path
    snapshots: Path
    images: Path
    prefix: str
    runner: str
    platform: str
    bases: Mapping[str, str]
    registry: str
    registry_plain_http: bool
    jobs: int
    source_max_size: int
    source_timeout: int
    source_redirects: tuple[str, ...]
    builder: str
    inline_cache: bool
    build_secrets: Mapping[str, str]
    docker_pids: int
    docker_tmp: int
    argo_namespace: str
    argo_endpoint: str
    argo_image: str
    argo_pull_secret: str
    argo_node_selector: Mapping[str, str]
    argo_deadline: int
    origins: Mapping[str, str]

    @property
    def documents(self) -> Path:
        """Where parsed specification files are remembered; beside the snapshots, as easily made again."""
        return self.snapshots / "_documents"

    def value(self, name: str) -> Any:
        """The value of the setting of this name. Raises AttributeError."""
        return getattr(self, name)


def cache_directory(environ: Mapping[str, str]) -> Path:
    """The user's cache directory for this tooling: $XDG_CACHE_HOME or the platform's own place."""
    base = environ.get("XDG_CACHE_HOME", "")
    if base and os.path.isabs(base):
        return Path(base) / "daintree"
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "daintree"


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "store",
        "where runs are kept: a directory (a leading ~ is your home), or s3://bucket[/prefix] to share them",
        lambda environ: str(cache_directory(environ) / "store"),
        read_store,
    ),
    Setting(
        "cache",
        "the directory in front of a store in a bucket; what was fetched and computed here is kept there too",
        lambda environ: cache_directory(environ) / "store",
        read_directory,
    ),
    Setting(
        "when_unavailable",
        "when the server of a store in a bucket cannot be reached: fail, or local to go on with the cache alone",
        lambda environ: "fail",
        read_unavailable,
    ),
    Setting(
        "environments",
        "where the local runner keeps its virtual environments",
        lambda environ: cache_directory(environ) / "environments",
        read_directory,
    ),
    Setting(
        "snapshots",
        "where copies of exactly a version's files are kept",
        lambda environ: cache_directory(environ) / "snapshots",
        read_directory,
    ),
    Setting(
        "images",
        "where it is remembered which images of the registry are the versions their tags say",
        lambda environ: cache_directory(environ) / "images",
        read_directory,
    ),
    Setting(
        "prefix",
        "where in the store a run is put; runs written under another prefix are still found",
        lambda environ: "{component}/{version}/{year}/{month}/{day}/{timestamp}",
        read_prefix,
    ),
    Setting(
        "runner",
        "what executes stages unless --runner says otherwise",
        lambda environ: "local",
        read_text,
    ),
    Setting(
        "platform",
        "the one platform images are built for",
        lambda environ: "linux/amd64",
        read_platform,
    ),
    Setting(
        "bases",
        "base images' pins: image reference = sha256 digest",
        lambda environ: {},
        read_bases,
    ),
    Setting(
        "registry",
        "where images are pushed to and looked for, such as registry.example/ml; none: the Docker engine alone",
        lambda environ: "",
        read_registry,
    ),
    Setting(
        "registry_plain_http",
        "speak plain HTTP to a registry that is not on this machine",
        lambda environ: False,
        read_switch,
    ),
    Setting(
        "jobs",
        "how many stages or builds that do not depend on each other run side by side",
        lambda environ: os.cpu_count() or 1,
        read_count,
    ),
    Setting(
        "source_max_size",
        "the most bytes that a source behind a URL may have, such as 20Gi",
        lambda environ: 1 << 40,
        read_size,
    ),
    Setting(
        "source_timeout",
        "seconds that the download of a source behind a URL may take, with all attempts",
        lambda environ: 4 * 60 * 60,
        read_seconds,
    ),
    Setting(
        "source_redirects",
        "hosts that a source's server may redirect to though they are not public, or `any`",
        lambda environ: (),
        read_hosts,
    ),
    Setting(
        "builder",
        "what builds images: buildkit (through the docker command), classic (the engine's API), auto for the better that is here",
        lambda environ: "auto",
        read_builder,
    ),
    Setting(
        "inline_cache",
        "BuildKit keeps the cache of a build in its image, and reads that of :latest",
        lambda environ: False,
        read_switch,
    ),
    Setting(
        "build_secrets",
        "secrets that Dockerfiles mount (RUN --mount=type=secret): id = the environment variable that holds it",
        lambda environ: {},
        read_labels,
    ),
    Setting(
        "docker_pids",
        "how many processes and threads a stage's container may have",
        lambda environ: 4096,
        read_limit,
    ),
    Setting(
        "docker_tmp",
        "how much /tmp of a stage's container may hold, which is memory (default: a quarter of the stage's memory)",
        lambda environ: 0,
        read_size,
    ),
    Setting(
        "argo_namespace",
        "the Kubernetes namespace in which Workflows run",
        lambda environ: "daintree",
        read_kubernetes_name,
    ),
    Setting(
        "argo_endpoint",
        "the store's server as pods reach it, such as http://minio.minio:9000 (default: as this machine does)",
        lambda environ: "",
        read_endpoint,
    ),
    Setting(
        "argo_image",
        "the tooling's own image, which records and retrains in the cluster (default: the one that doit build pushes)",
        lambda environ: "",
        read_text,
    ),
    Setting(
        "argo_pull_secret",
        "the secret with which pods pull images (default: none)",
        lambda environ: "",
        read_kubernetes_name,
    ),
    Setting(
        "argo_node_selector",
        "labels of the nodes on which pods run: label = value",
        lambda environ: {},
        read_labels,
    ),
    Setting(
        "argo_deadline",
        "seconds after which a Workflow that still runs is ended",
        lambda environ: 24 * 60 * 60,
        read_seconds,
    ),
)


def read_settings(root: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of the project at `root`.

    A relative path starts at the project in pyproject.toml, at the current directory in the environment.
    Raises SettingsError for an unknown name (with the nearest one), a wrong type or a wrong value.
    """
    environ = os.environ if environ is None else environ
    table = _project_table(root)
    names = [setting.name for setting in SETTINGS]
    for name in table:
        if name not in names:
            raise SettingsError(
                f"pyproject.toml: [tool.daintree] has no setting {name!r}",
                hint=nearest(name, names),
            )
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for setting in SETTINGS:
        values[setting.name], origins[setting.name] = _value_of(setting, table, environ, root)
    return Settings(root=root, origins=origins, **values)


def _value_of(
    setting: Setting, table: Mapping[str, Any], environ: Mapping[str, str], root: Path
) -> tuple[Any, str]:
    """The setting's value, and where it came from."""
    if environ.get(setting.variable):
        given, base, place = environ[setting.variable], Path.cwd(), setting.variable
        origin = f"environment ({setting.variable})"
    elif setting.name in table:
        given, base, place = table[setting.name], root, f"pyproject.toml: {setting.name}"
        origin = "pyproject.toml"
    else:
        return setting.default(environ), "default"
    try:
        return setting.read(given, base), origin
    except ValueError as error:
        raise SettingsError(f"{place}: {error}, got {given!r}", hint=setting.help) from None


def _project_table(root: Path) -> dict[str, Any]:
    try:
        content = (root / "pyproject.toml").read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsError(f"pyproject.toml cannot be read: {error.strerror}") from None
    import tomllib

    try:
        tools = tomllib.loads(content.decode("utf-8")).get("tool", {})
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"pyproject.toml is not TOML: {error}") from None
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
        hint="change into a project first",
    )


def is_daintree(root: Path) -> bool:
    """Whether the project has pipelines or components, or is an ordinary doit project."""
    return (root / "pipelines").is_dir() or (root / "components").is_dir()
