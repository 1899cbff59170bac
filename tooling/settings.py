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

import msgspec

from tooling.errors import SettingsError
from tooling.suggest import nearest

ENVIRONMENT_PREFIX = "DAINTREE_"
_SEGMENT = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_REGISTRY = re.compile(rf"(?:[a-z0-9][a-z0-9.-]*|\[[0-9a-f:]+\])(?::\d+)?(?:/{_SEGMENT})*")
PREFIX_FIELDS = ("component", "version", "year", "month", "day", "timestamp")


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


def _text(value: Any, base: Path) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("expected text")
    return value


def _directory(value: Any, base: Path) -> Path:
    return Path(os.path.abspath(base / os.path.expanduser(_text(value, base))))


def _store(value: Any, base: Path) -> str:
    text = _text(value, base)
    return text if "://" in text else str(_directory(text, base))


def _unavailable(value: Any, base: Path) -> str:
    if value not in ("fail", "local"):
        raise ValueError("expected fail or local")
    return str(value)


def _count(value: Any, base: Path) -> int:
    if isinstance(value, bool) or not str(value).isdecimal() or not 0 < int(value) < 1000:
        raise ValueError("expected a whole number from 1 to 999")
    return int(value)


def _platform(value: Any, base: Path) -> str:
    text = _text(value, base)
    if not 2 <= len(text.split("/")) <= 3 or not all(text.split("/")):
        raise ValueError("expected os/architecture, such as linux/amd64")
    return text


def _registry(value: Any, base: Path) -> str:
    text = _text(value, base).rstrip("/")
    host = text.partition("/")[0]
    # Docker takes a first part without any of these for a name on Docker Hub.
    if not _REGISTRY.fullmatch(text) or not ({".", ":"} & set(host) or host == "localhost"):
        raise ValueError("expected host[:port][/path] in small letters, without https://")
    return text


def _switch(value: Any, base: Path) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise ValueError("expected true or false")
    return str(value).lower() == "true"


def _prefix(value: Any, base: Path) -> str:
    text = _text(value, base)
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


def _bases(value: Any, base: Path) -> dict[str, str]:
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


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "store",
        "where runs are kept: a directory (a leading ~ is your home), or s3://bucket[/prefix] to share them",
        lambda environ: str(cache_directory(environ) / "store"),
        _store,
    ),
    Setting(
        "cache",
        "the directory in front of a store in a bucket; what was fetched and computed here is kept there too",
        lambda environ: cache_directory(environ) / "store",
        _directory,
    ),
    Setting(
        "when_unavailable",
        "when the server of a store in a bucket cannot be reached: fail, or local to go on with the cache alone",
        lambda environ: "fail",
        _unavailable,
    ),
    Setting(
        "environments",
        "where the local runner keeps its virtual environments",
        lambda environ: cache_directory(environ) / "environments",
        _directory,
    ),
    Setting(
        "snapshots",
        "where copies of exactly a version's files are kept",
        lambda environ: cache_directory(environ) / "snapshots",
        _directory,
    ),
    Setting(
        "images",
        "where it is remembered which images of the registry are the versions their tags say",
        lambda environ: cache_directory(environ) / "images",
        _directory,
    ),
    Setting(
        "prefix",
        "where in the store a run is put; runs written under another prefix are still found",
        lambda environ: "{component}/{version}/{year}/{month}/{day}/{timestamp}",
        _prefix,
    ),
    Setting(
        "runner",
        "what executes stages unless --runner says otherwise",
        lambda environ: "local",
        _text,
    ),
    Setting(
        "platform",
        "the one platform images are built for",
        lambda environ: "linux/amd64",
        _platform,
    ),
    Setting(
        "bases", "base images' pins: image reference = sha256 digest", lambda environ: {}, _bases
    ),
    Setting(
        "registry",
        "where images are pushed to and looked for, such as registry.example/ml; none: the Docker engine alone",
        lambda environ: "",
        _registry,
    ),
    Setting(
        "registry_plain_http",
        "speak plain HTTP to a registry that is not on this machine",
        lambda environ: False,
        _switch,
    ),
    Setting(
        "jobs",
        "how many stages or builds that do not depend on each other run side by side",
        lambda environ: os.cpu_count() or 1,
        _count,
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
