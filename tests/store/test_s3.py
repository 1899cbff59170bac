"""MINIO_* variables first, then the way AWS's own tools look."""

from __future__ import annotations

from pathlib import Path

import pytest

from daintree.errors import SettingsError
from daintree.store.s3 import S3Access, read_s3_access

MINIO = {"MINIO_ENDPOINT": "http://minio:9000", "MINIO_ACCESS_KEY": "m", "MINIO_SECRET_KEY": "ms"}
AWS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "as", "AWS_SESSION_TOKEN": "at"}


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of a user with AWS's two files."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text(
        "[default]\naws_access_key_id = d\naws_secret_access_key = ds\n"
        "[team]\naws_access_key_id = t\naws_secret_access_key = ts\naws_session_token = tt\n"
    )
    (tmp_path / ".aws/config").write_text(
        "[default]\nregion = eu-west-1\n"
        "[profile team]\nregion = eu-north-1\nendpoint_url = https://s3.team.example\n"
    )
    return {"HOME": str(tmp_path)}


def keys(access: S3Access) -> tuple[str, str, str]:
    """The three parts of the key."""
    return access.access_key, access.secret_key, access.session_token


def test_minio_comes_first(home: dict[str, str]) -> None:
    access = read_s3_access({**home, **AWS, **MINIO})
    assert access.endpoint == "http://minio:9000"
    assert keys(access) == ("m", "ms", "")


def test_then_the_variables_of_aws(home: dict[str, str]) -> None:
    access = read_s3_access({**home, **AWS, "AWS_ENDPOINT_URL": "https://s3.example/"})
    assert access.endpoint == "https://s3.example"
    assert keys(access) == ("a", "as", "at")
    assert access.region == "eu-west-1"


def test_then_the_profile(home: dict[str, str]) -> None:
    access = read_s3_access({**home, "AWS_PROFILE": "team"})
    assert (access.endpoint, access.region) == ("https://s3.team.example", "eu-north-1")
    assert keys(access) == ("t", "ts", "tt")
    assert keys(read_s3_access(home)) == ("d", "ds", "")


def test_files_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("[default]\naws_access_key_id=x\naws_secret_access_key=y\n")
    environ = {"HOME": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "keys")}
    assert keys(read_s3_access(environ)) == ("x", "y", "")


@pytest.mark.parametrize("content", [b"no section\n", b"\xff\xfe", b"[default\n", b""])
def test_a_broken_file_holds_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "keys").write_bytes(content)
    environ = {"HOME": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "keys")}
    assert keys(read_s3_access(environ)) == ("", "", "")


def test_keys_of_two_places_are_never_mixed() -> None:
    environ = {"HOME": "/nowhere", "MINIO_ACCESS_KEY": "m", **AWS}
    assert keys(read_s3_access(environ)) == ("m", "", "")


@pytest.mark.parametrize(
    ("environ", "role"),
    [
        ({}, True),
        ({"MINIO_ENDPOINT": "minio:9000"}, False),
        ({"MINIO_ENDPOINT": "minio:9000", "AWS_WEB_IDENTITY_TOKEN_FILE": "/t"}, True),
    ],
)
def test_a_machine_of_a_cloud_may_have_a_role(environ: dict[str, str], role: bool) -> None:
    assert read_s3_access({"HOME": "/nowhere", **environ}).role is role


def test_an_endpoint_without_a_scheme_is_http() -> None:
    access = read_s3_access({"HOME": "/nowhere", "MINIO_ENDPOINT": "minio:9000"})
    assert access.endpoint == "http://minio:9000"


@pytest.mark.parametrize(
    "endpoint",
    ["http://", "ftp://a", "http://user:word@host", "http://host:port", "http://h/?a=word"],
)
def test_what_is_no_address_is_refused_and_not_repeated(endpoint: str) -> None:
    with pytest.raises(SettingsError, match="MINIO_ENDPOINT is no address of a server") as raised:
        read_s3_access({"HOME": "/nowhere", "MINIO_ENDPOINT": endpoint})
    assert "word" not in raised.value.message + raised.value.hint


def test_it_shows_no_secret() -> None:
    access = read_s3_access({"HOME": "/nowhere", **MINIO})
    assert "ms" not in f"{access!r} {access} {access.server}"
