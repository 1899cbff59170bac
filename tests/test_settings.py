"""Settings: pyproject.toml, the environment that wins over it, and where each value came from."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daintree.errors import SettingsError
from daintree.settings import SETTINGS, cache_directory, home_directory, read_settings
from tests.configured import HOME, complaint, configured


def test_every_setting_has_a_default(tmp_path: Path) -> None:
    settings = read_settings(tmp_path, {"XDG_CACHE_HOME": "/cache"})
    assert settings.root == tmp_path
    assert settings.store == "/cache/daintree/store"
    assert settings.environments == Path("/cache/daintree/environments")
    assert settings.snapshots == Path("/cache/daintree/snapshots")
    assert settings.prefix == "{component}/{version}/{year}/{month}/{day}/{timestamp}"
    assert (settings.runner, settings.platform, settings.bases) == ("local", "linux/amd64", {})
    assert settings.jobs >= 1
    assert settings.origins == dict.fromkeys(SETTINGS, "default")


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
    assert settings.store == "/mine"


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


@pytest.mark.parametrize("home", [{}, {"HOME": ""}, {"HOME": "relative"}, {"HOME": "~"}])
def test_without_an_absolute_home_the_account_s_own_counts(home: dict[str, str]) -> None:
    assert home_directory(home) == Path(pwd.getpwuid(os.getuid()).pw_dir)
    assert cache_directory(home).is_relative_to(pwd.getpwuid(os.getuid()).pw_dir)


def test_a_tilde_without_a_home_is_said_with_its_setting(tmp_path: Path) -> None:
    error = complaint(tmp_path, 'store = "~nobody-of-this-name/store"')
    assert error.message == (
        "pyproject.toml: store: ~nobody-of-this-name/store: there is no user 'nobody-of-this-name' with a home directory"
    )
    assert configured(tmp_path, 'store = "./~kept"').store == str(tmp_path / "~kept")


@pytest.mark.parametrize("text", ["", "[project]\nname = 'x'\n", "[tool.other]\nstore = 1\n"])
def test_a_project_may_set_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    assert read_settings(tmp_path, HOME).origins["store"] == "default"


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


NAMES = st.sampled_from(list(SETTINGS))


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
    for name in SETTINGS:
        given_here = bool(values.get(name))
        assert settings.origins[name].startswith("environment" if given_here else "default")
        assert _well_typed(name, getattr(settings, name))


def _well_typed(name: str, value: Any) -> bool:
    kinds: dict[str, type] = {
        "cache": Path,
        "environments": Path,
        "snapshots": Path,
        "images": Path,
        "jobs": int,
        "docker_pids": int,
        "inline_cache": bool,
        "format_components": bool,
        "build_secrets": dict,
        "docker_tmp": int,
        "bases": dict,
        "argo_node_selector": dict,
        "argo_deadline": int,
        "source_max_size": int,
        "source_timeout": int,
        "source_redirects": tuple,
        "registry_plain_http": bool,
    }
    return isinstance(value, kinds.get(name, str))
