"""What each setting takes, and that a value it does not take is said with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daintree.errors import SettingsError
from daintree.settings import SETTINGS, read_settings
from tests.configured import HOME, complaint, configured

DIGEST = "ab" * 32


def test_a_store_may_be_a_url(tmp_path: Path) -> None:
    assert configured(tmp_path, 'store = "s3://ml-artifacts"').store == "s3://ml-artifacts"


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
    assert error.hint == SETTINGS[name].help


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
def test_a_prefix_that_leads_out_or_cannot_be_filled_is_refused(
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
