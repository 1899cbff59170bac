"""The only reader of configuration: `[tool.daintree]` of pyproject.toml, and `DAINTREE_*` which wins.

Every setting has a type, a default and a line of help, all here; `doit config` and the reference page are made from them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from daintree import setting_values
from daintree.errors import SettingsError
from daintree.suggest import nearest

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
        setting_values.read_store,
    ),
    Setting(
        "cache",
        "the directory in front of a store in a bucket; what was fetched and computed here is kept there too",
        lambda environ: cache_directory(environ) / "store",
        setting_values.read_directory,
    ),
    Setting(
        "when_unavailable",
        "when the server of a store in a bucket cannot be reached: fail, or local to go on with the cache alone",
        lambda environ: "fail",
        setting_values.read_unavailable,
    ),
    Setting(
        "environments",
        "where the local runner keeps its virtual environments",
        lambda environ: cache_directory(environ) / "environments",
        setting_values.read_directory,
    ),
    Setting(
        "snapshots",
        "where copies of exactly a version's files are kept",
        lambda environ: cache_directory(environ) / "snapshots",
        setting_values.read_directory,
    ),
    Setting(
        "images",
        "where it is remembered which images of the registry are the versions their tags say",
        lambda environ: cache_directory(environ) / "images",
        setting_values.read_directory,
    ),
    Setting(
        "prefix",
        "where in the store a run is put; runs written under another prefix are still found",
        lambda environ: "{component}/{version}/{year}/{month}/{day}/{timestamp}",
        setting_values.read_prefix,
    ),
    Setting(
        "runner",
        "what executes stages unless --runner says otherwise",
        lambda environ: "local",
        setting_values.read_text,
    ),
    Setting(
        "platform",
        "the one platform images are built for",
        lambda environ: "linux/amd64",
        setting_values.read_platform,
    ),
    Setting(
        "bases",
        "base images' pins: image reference = sha256 digest",
        lambda environ: {},
        setting_values.read_bases,
    ),
    Setting(
        "registry",
        "where images are pushed to and looked for, such as registry.example/ml; none: the Docker engine alone",
        lambda environ: "",
        setting_values.read_registry,
    ),
    Setting(
        "registry_plain_http",
        "speak plain HTTP to a registry that is not on this machine",
        lambda environ: False,
        setting_values.read_switch,
    ),
    Setting(
        "jobs",
        "how many stages or builds that do not depend on each other run side by side",
        lambda environ: os.cpu_count() or 1,
        setting_values.read_count,
    ),
    Setting(
        "argo_namespace",
        "the Kubernetes namespace in which Workflows run",
        lambda environ: "daintree",
        setting_values.read_kubernetes_name,
    ),
    Setting(
        "argo_endpoint",
        "the store's server as pods reach it, such as http://minio.minio:9000 (default: as this machine does)",
        lambda environ: "",
        setting_values.read_endpoint,
    ),
    Setting(
        "argo_image",
        "the tooling's own image, which records and retrains in the cluster (default: the one that doit build pushes)",
        lambda environ: "",
        setting_values.read_text,
    ),
    Setting(
        "argo_pull_secret",
        "the secret with which pods pull images (default: none)",
        lambda environ: "",
        setting_values.read_kubernetes_name,
    ),
    Setting(
        "argo_node_selector",
        "labels of the nodes on which pods run: label = value",
        lambda environ: {},
        setting_values.read_labels,
    ),
    Setting(
        "argo_deadline",
        "seconds after which a Workflow that still runs is ended",
        lambda environ: 24 * 60 * 60,
        setting_values.read_seconds,
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
