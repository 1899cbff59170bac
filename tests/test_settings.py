"""Settings: pyproject.toml, the environment that wins over it, and where each value came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tooling.errors import SettingsError
from tooling.settings import SETTINGS, Settings, cache_directory, read_settings

DIGEST = "ab" * 32
HOME = {"HOME": "/home/somebody"}


def configured(root: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    (root / "pyproject.toml").write_text(f"[tool.daintree]\n{text}\n", encoding="utf-8")
    return read_settings(root, {**HOME, **(environ or {})})


def complaint(root: Path, text: str, environ: dict[str, str] | None = None) -> SettingsError:
    with pytest.raises(SettingsError) as failure:
        configured(root, text, environ)
    return failure.value


def test_every_setting_has_a_default(tmp_path: Path) -> None:
    settings = read_settings(tmp_path, {"XDG_CACHE_HOME": "/cache"})
    assert settings.root == tmp_path
    assert settings.store == "/cache/daintree/store"
    assert settings.environments == Path("/cache/daintree/environments")
    assert settings.snapshots == Path("/cache/daintree/snapshots")
    assert settings.prefix == "{component}/{version}/{year}/{month}/{day}/{timestamp}"
    assert (settings.runner, settings.platform, settings.bases) == ("local", "linux/amd64", {})
    assert settings.jobs >= 1
    assert settings.origins == {setting.name: "default" for setting in SETTINGS}


def test_pyproject_says_more_than_the_default_and_the_environment_more_than_both(
    tmp_path: Path,
) -> None:
    settings = configured(
        tmp_path,
        'store = "/project"\njobs = 3',
        {"DAINTREE_STORE": "/mine", "DAINTREE_RUNNER": "x"},
    )
    assert (settings.store, settings.jobs, settings.runner) == ("/mine", 3, "x")
    assert settings.origins["store"] == "environment (DAINTREE_STORE)"
    assert settings.origins["jobs"] == "pyproject.toml"
    assert settings.origins["platform"] == "default"
    assert settings.value("store") == "/mine"


def test_an_empty_variable_says_nothing(tmp_path: Path) -> None:
    settings = configured(tmp_path, "jobs = 3", {"DAINTREE_JOBS": ""})
    assert (settings.jobs, settings.origins["jobs"]) == (3, "pyproject.toml")


def test_a_path_in_pyproject_starts_at_the_project_and_one_in_the_environment_here(
    tmp_path: Path,
) -> None:
    settings = configured(
        tmp_path, 'store = "kept"\nsnapshots = "../x"', {"DAINTREE_ENVIRONMENTS": "mine"}
    )
    assert settings.store == str(tmp_path / "kept")
    assert settings.snapshots == tmp_path.parent / "x"
    assert settings.environments == Path.cwd() / "mine"


def test_a_leading_tilde_is_the_home_directory(tmp_path: Path) -> None:
    settings = configured(tmp_path, 'store = "~/kept"', {"DAINTREE_SNAPSHOTS": "~"})
    assert settings.store == str(Path.home() / "kept")
    assert settings.snapshots == Path.home()


def test_a_store_may_be_a_url(tmp_path: Path) -> None:
    assert configured(tmp_path, 'store = "s3://ml-artifacts"').store == "s3://ml-artifacts"


@pytest.mark.parametrize(
    ("environ", "directory"),
    [
        ({"XDG_CACHE_HOME": "/cache"}, "/cache/daintree"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/daintree"),
        ({"XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/daintree"),
    ],
)
def test_the_cache_is_where_the_platform_has_caches(
    environ: dict[str, str], directory: str
) -> None:
    assert str(cache_directory(environ)).replace("Library/Caches", ".cache") == directory


@pytest.mark.parametrize("text", ["", "[project]\nname = 'x'\n", "[tool.other]\nstore = 1\n"])
def test_a_project_may_set_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    assert read_settings(tmp_path, HOME).origins["store"] == "default"


def test_pins_are_read_from_a_table_or_from_text(tmp_path: Path) -> None:
    pins = {"python:3.11-slim": f"sha256:{DIGEST}"}
    table = f'[tool.daintree.bases]\n"python:3.11-slim" = "sha256:{DIGEST}"'
    assert configured(tmp_path, table).bases == pins
    assert configured(tmp_path, f'bases = {{"python:3.11-slim" = "{DIGEST}"}}').bases == pins
    text = {"DAINTREE_BASES": f"python:3.11-slim=sha256:{DIGEST},"}
    assert configured(tmp_path, "", text).bases == pins


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jobs = 0", "jobs: expected a whole number from 1 to 999, got 0"),
        ("jobs = 1000", "jobs: expected a whole number from 1 to 999, got 1000"),
        ("jobs = true", "jobs: expected a whole number from 1 to 999, got True"),
        ("jobs = 1.0", "jobs: expected a whole number from 1 to 999, got 1.0"),
        ("jobs = '-2'", "jobs: expected a whole number from 1 to 999, got '-2'"),
        ("store = 3", "store: expected text, got 3"),
        ("store = ''", "store: expected text, got ''"),
        ('store = "a\\u0000b"', "store: expected text, got 'a\\x00b'"),
        ("environments = ['x']", "environments: expected text, got ['x']"),
        (
            "platform = 'linux'",
            "platform: expected os/architecture, such as linux/amd64, got 'linux'",
        ),
        (
            "platform = 'linux/'",
            "platform: expected os/architecture, such as linux/amd64, got 'linux/'",
        ),
        ("bases = 3", "bases: expected a table of image = digest, got 3"),
        (
            "bases = {a = 'latest'}",
            "bases: the pin of a must be sha256:<64 hex digits>, got {'a': 'latest'}",
        ),
        (
            "prefix = '{component}/x'",
            "prefix: expected a relative path with {component} and {timestamp} in it, got '{component}/x'",
        ),
    ],
)
def test_a_wrong_value_is_said_with_its_key(tmp_path: Path, text: str, message: str) -> None:
    error = complaint(tmp_path, text)
    assert error.message == "pyproject.toml: " + message
    name = message.partition(":")[0]
    assert error.hint == next(setting.help for setting in SETTINGS if setting.name == name)


def test_a_wrong_value_in_the_environment_is_said_with_its_variable(tmp_path: Path) -> None:
    error = complaint(tmp_path, "jobs = 2", {"DAINTREE_JOBS": "many"})
    assert error.message == "DAINTREE_JOBS: expected a whole number from 1 to 999, got 'many'"


@pytest.mark.parametrize(
    "registry",
    [
        "registry.example/ml",
        "localhost",
        "localhost:5000",
        "127.0.0.1:5000/a/b-c.d__e",
        "[::1]:5000/ml",
        "ghcr.io/team/ml",
    ],
)
def test_a_registry(tmp_path: Path, registry: str) -> None:
    assert configured(tmp_path, f"registry = '{registry}/'").registry == registry


@pytest.mark.parametrize(
    "registry",
    [
        "https://registry.example",
        "user@registry.example",
        "registry.example/ML",
        "registry.example//ml",
        "registry.example/ml:latest",
        "team/ml",
        "registry.example/../ml",
        "-x.example",
    ],
)
def test_what_can_be_no_registry_is_refused(tmp_path: Path, registry: str) -> None:
    error = complaint(tmp_path, f"registry = '{registry}'")
    assert error.message.startswith("pyproject.toml: registry: expected host[:port][/path]")


def test_a_switch(tmp_path: Path) -> None:
    assert not configured(tmp_path, "").registry_plain_http
    assert configured(tmp_path, "registry_plain_http = true").registry_plain_http
    variable = {"DAINTREE_REGISTRY_PLAIN_HTTP": "False"}
    assert not configured(tmp_path, "registry_plain_http = true", variable).registry_plain_http
    error = complaint(tmp_path, "registry_plain_http = 1")
    assert error.message == "pyproject.toml: registry_plain_http: expected true or false, got 1"


@pytest.mark.parametrize(
    "prefix",
    [
        "/{component}/{timestamp}",
        "../{component}/{timestamp}",
        "{component}/../{timestamp}",
        "{component}//{timestamp}",
        "{component}/./{timestamp}",
        "{component}/{timestamp}/",
        "_cache/{component}/{timestamp}",
        "{component}/{timestamp}/{run}",
        "{component}/{timestamp}/{}",
        "{component}/{timestamp}/{0}",
        "{component}/{timestamp}/{version.real}",
        "{component}/{timestamp}/{version!r}",
        "{component}/{timestamp}/{version:>80}",
        "{component}/{timestamp}/}",
        "{component}/{timestamp}/{",
    ],
)
def test_a_prefix_that_leads_elsewhere_or_cannot_be_filled_is_refused(
    tmp_path: Path, prefix: str
) -> None:
    error = complaint(tmp_path, f"prefix = '{prefix}'")
    assert error.message.startswith("pyproject.toml: prefix: expected ")
    assert error.message.endswith(f", got {prefix!r}")


@given(st.lists(st.sampled_from(["a", "/", "{", "}", "{component}", "{timestamp}", "{day}", "."])))
def test_a_prefix_that_is_taken_can_be_filled(parts: list[str]) -> None:
    prefix = "".join(parts)
    try:
        settings = read_settings(Path("/nowhere"), {**HOME, "DAINTREE_PREFIX": prefix})
    except SettingsError as error:
        assert error.message.startswith("DAINTREE_PREFIX: ")
        return
    fields = dict.fromkeys(("version", "year", "month", "day"), "x")
    location = settings.prefix.format(component="group/name", timestamp="run", **fields)
    if prefix:
        assert {"", ".", ".."}.isdisjoint(location.split("/"))
        assert "group/name" in location
        assert "run" in location


def test_an_unknown_setting_suggests_the_nearest(tmp_path: Path) -> None:
    error = complaint(tmp_path, "stor = 'x'")
    assert error.message == "pyproject.toml: [tool.daintree] has no setting 'stor'"
    assert error.hint == "did you mean 'store'?"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[tool.daintree\n", "pyproject.toml is not TOML: "),
        (b"a = 1\na = 2\n", "pyproject.toml is not TOML: Cannot overwrite a value (at line 2,"),
        (b"a = '\xff'\n", "pyproject.toml is not TOML: 'utf-8' codec can't decode"),
        (b"a = " + b"9" * 5000 + b"\n", "pyproject.toml is not TOML: "),
        (b"a = " + b"[" * 100_000, "pyproject.toml is not TOML: "),
        (b"tool = 3\n", "pyproject.toml: [tool.daintree] must be a table"),
        (b"[tool]\ndaintree = 'x'\n", "pyproject.toml: [tool.daintree] must be a table"),
    ],
)
def test_a_broken_pyproject_is_said(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "pyproject.toml").write_bytes(content)
    with pytest.raises(SettingsError) as failure:
        read_settings(tmp_path, HOME)
    assert failure.value.message.startswith(message)


def test_a_pyproject_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").mkdir()
    with pytest.raises(SettingsError, match=r"^pyproject\.toml cannot be read: Is a directory$"):
        read_settings(tmp_path, HOME)


NAMES = st.sampled_from([setting.name for setting in SETTINGS])


@given(st.dictionaries(NAMES, st.text(st.characters(exclude_categories=["Cs"]))))
def test_any_environment_gives_settings_or_one_error_that_names_a_variable(
    values: dict[str, str],
) -> None:
    environ = {**HOME, **{f"DAINTREE_{name.upper()}": text for name, text in values.items()}}
    try:
        settings = read_settings(Path("/nowhere"), environ)
    except SettingsError as error:
        assert error.message.startswith("DAINTREE_")
        assert error.hint
        return
    for setting in SETTINGS:
        given_here = bool(values.get(setting.name))
        assert settings.origins[setting.name].startswith("environment" if given_here else "default")
        assert _well_typed(setting.name, settings.value(setting.name))


def _well_typed(name: str, value: Any) -> bool:
    kinds: dict[str, type] = {
        "cache": Path,
        "environments": Path,
        "snapshots": Path,
        "images": Path,
        "jobs": int,
        "bases": dict,
        "argo_node_selector": dict,
        "argo_deadline": int,
        "registry_plain_http": bool,
    }
    return isinstance(value, kinds.get(name, str))
