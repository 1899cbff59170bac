"""One access for all: MINIO_* variables first, then the way AWS's own tools look."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daintree.errors import SettingsError, StoreError
from daintree.store.contents import boto_options
from daintree.store.s3 import S3Access, connection_options, read_s3_access

MINIO = {"MINIO_ENDPOINT": "http://minio:9000", "MINIO_ACCESS_KEY": "m", "MINIO_SECRET_KEY": "ms"}
AWS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "as", "AWS_SESSION_TOKEN": "at"}
CONFIG = """\
[default]
region = eu-west-1
[profile team]
region = eu-north-1
endpoint_url = https://s3.team.example
ca_bundle = /team.pem
s3 =
  addressing_style = virtual
[profile services]
services = theirs
[services theirs]
s3 =
  endpoint_url = https://s3.theirs.example
[profile process]
credential_process = {program}
[profile failing]
credential_process = false
[profile chatting]
credential_process = echo hello
[profile gone]
credential_process = /no/such/program
[profile expired]
credential_process = {program} 2020-01-01T00:00:00Z
[profile ignoring]
endpoint_url = https://s3.unused.example
ignore_configured_endpoint_urls = true
[profile sso]
sso_start_url = https://sso.example
sso_region = eu-west-1
sso_account_id = 1
sso_role_name = r
"""
CREDENTIALS = """\
[default]
aws_access_key_id = d
aws_secret_access_key = ds
[team]
aws_access_key_id = t
aws_secret_access_key = ts
aws_session_token = tt
"""
PROCESS = (
    "#!/bin/sh\n"
    'expiration=${1:+", \\"Expiration\\": \\"$1\\""}\n'
    'echo \'{"Version": 1, "AccessKeyId": "p", "SecretAccessKey": "ps", "SessionToken": "pt"\'"$expiration}"\n'
)


@contextmanager
def environment(home: Path, variables: dict[str, str]) -> Iterator[dict[str, str]]:
    """This process with these variables and no others of a store."""
    before = dict(os.environ)
    ours = {n: v for n, v in before.items() if not n.startswith(("AWS_", "MINIO_", "REQUESTS_"))}
    ours.pop("SSL_CERT_FILE", None)
    os.environ.clear()
    os.environ.update({**ours, "HOME": str(home), **variables})
    try:
        yield dict(os.environ)
    finally:
        os.environ.clear()
        os.environ.update(before)


def read(home: Path, variables: dict[str, str]) -> S3Access:
    """The access of a process with these variables."""
    with environment(home, variables):
        return read_s3_access()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a user with AWS's two files, and a program that gives a key."""
    directory = tmp_path_factory.mktemp("home")
    program = directory / "key"
    program.write_text(PROCESS)
    program.chmod(stat.S_IRWXU)
    (directory / ".aws").mkdir()
    (directory / ".aws/credentials").write_text(CREDENTIALS)
    (directory / ".aws/config").write_text(CONFIG.format(program=program))
    return directory


def keys(access: S3Access) -> tuple[str, str, str]:
    """The three parts of the key."""
    return access.access_key, access.secret_key, access.session_token


def test_minio_comes_first(home: Path) -> None:
    access = read(home, {**AWS, **MINIO})
    assert access.endpoint == "http://minio:9000"
    assert keys(access) == ("m", "ms", "")


def test_then_the_variables_of_aws(home: Path) -> None:
    access = read(home, {**AWS, "AWS_ENDPOINT_URL": "https://s3.example/"})
    assert access.endpoint == "https://s3.example"
    assert keys(access) == ("a", "as", "at")
    assert access.region == "eu-west-1"


def test_then_the_profile(home: Path) -> None:
    access = read(home, {"AWS_PROFILE": "team"})
    assert (access.endpoint, access.region) == ("https://s3.team.example", "eu-north-1")
    assert (access.ca_bundle, access.virtual_host) == ("/team.pem", True)
    assert keys(access) == ("t", "ts", "tt")
    assert keys(read(home, {})) == ("d", "ds", "")
    assert read(home, {"AWS_PROFILE": "services"}).endpoint == "https://s3.theirs.example"


def test_a_tilde_inside_of_a_path_is_no_home(home: Path, tmp_path: Path) -> None:
    # What only the config file adds to these variables is read where they name it.
    config = tmp_path / "a~b"
    config.write_text("[default]\nca_bundle = /other.pem\n")
    whole = {**AWS, "AWS_ENDPOINT_URL": "https://s3.example", "AWS_REGION": "eu-west-1"}
    assert read(home, {**whole, "AWS_CONFIG_FILE": str(config)}).ca_bundle == "/other.pem"


def test_a_credential_process_gives_the_key_and_gives_it_again(home: Path) -> None:
    access = read(home, {"AWS_PROFILE": "process"})
    assert keys(access) == ("p", "ps", "pt")
    assert access.refresh is not None
    options = connection_options(access, "bucket")
    assert options["credential_provider"]()["token"] == "pt"
    assert "secret_access_key" not in options["config"]


@pytest.mark.parametrize(
    ("profile", "message", "hint"),
    [
        ("nobody", "AWS's profile nobody cannot be used: ", "aws configure --profile nobody"),
        ("failing", "AWS's profile failing cannot be used: ", "credential_process by itself"),
        ("chatting", "AWS's profile chatting cannot be used: ", "credential_process by itself"),
        ("gone", "AWS's profile gone cannot be used: ", "credential_process by itself"),
        ("expired", "AWS's profile expired cannot be used: ", "have expired"),
        ("", "AWS's profile default cannot be used: ", "unset AWS_PROFILE: it is set, and empty"),
        ("sso", "AWS's profile sso cannot be used: ", "aws sso login --profile sso"),
    ],
)
def test_a_profile_that_gives_no_key_is_said(
    home: Path, profile: str, message: str, hint: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        read(home, {"AWS_PROFILE": profile})
    assert raised.value.message.startswith(message)
    assert hint in raised.value.hint


def test_files_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("[default]\naws_access_key_id=x\naws_secret_access_key=y\n")
    access = read(Path("/nowhere"), {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "keys")})
    assert keys(access) == ("x", "y", "")


@pytest.mark.parametrize("content", [b"no section\n", b"[default\n", b"\xff\xfe"])
def test_a_broken_file_is_said_where_it_is_needed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config").write_bytes(content)
    file = {"AWS_CONFIG_FILE": str(tmp_path / "config")}
    with pytest.raises(SettingsError, match="AWS's profile default cannot be used: "):
        read(Path("/nowhere"), file)
    assert read(Path("/nowhere"), {**file, **MINIO}).access_key == "m"


@pytest.mark.parametrize(("access", "secret"), [list(MINIO)[1:], list(AWS)[:2]])
def test_keys_of_two_places_are_never_mixed(home: Path, access: str, secret: str) -> None:
    with pytest.raises(SettingsError, match=f"{access} is set, and {secret} is not"):
        read(home, {**AWS, **MINIO, secret: ""} if access in MINIO else {**AWS, secret: ""})


@pytest.mark.parametrize(
    ("environ", "role"),
    [
        ({}, True),
        ({"MINIO_ENDPOINT": "minio:9000"}, False),
        ({"MINIO_ENDPOINT": "minio:9000", "AWS_WEB_IDENTITY_TOKEN_FILE": "/t"}, True),
    ],
)
def test_a_machine_of_a_cloud_may_have_a_role(environ: dict[str, str], role: bool) -> None:
    assert read(Path("/nowhere"), environ).role is role


def test_an_endpoint_without_a_scheme_is_http() -> None:
    access = read(Path("/nowhere"), {"MINIO_ENDPOINT": "minio:9000"})
    assert access.endpoint == "http://minio:9000"


@pytest.mark.parametrize(
    "endpoint",
    ["http://", "ftp://a", "http://user:word@host", "http://host:port", "http://h/?a=word"],
)
def test_what_is_no_address_is_refused_and_not_repeated(endpoint: str) -> None:
    with pytest.raises(SettingsError, match="MINIO_ENDPOINT is no address of a server") as raised:
        read(Path("/nowhere"), {"MINIO_ENDPOINT": endpoint})
    assert "word" not in raised.value.message + raised.value.hint


def test_it_shows_no_secret() -> None:
    access = read(Path("/nowhere"), MINIO)
    assert "ms" not in f"{access!r} {access} {access.server}"


@pytest.mark.parametrize(
    ("variables", "bundle"),
    [
        ({"AWS_CA_BUNDLE": "/a", "REQUESTS_CA_BUNDLE": "/b", "SSL_CERT_FILE": "/c"}, "/a"),
        ({"REQUESTS_CA_BUNDLE": "/b", "SSL_CERT_FILE": "/c"}, "/b"),
        ({"SSL_CERT_FILE": "/c"}, "/c"),
        ({}, ""),
    ],
)
def test_certificates_come_from_one_variable(variables: dict[str, str], bundle: str) -> None:
    assert read(Path("/nowhere"), {**MINIO, **variables}).ca_bundle == bundle


@pytest.mark.parametrize("content", [None, b"no certificate\n"])
def test_a_file_without_certificates_is_said(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_bytes(content)
    variables = {"MINIO_ENDPOINT": "https://minio", "AWS_CA_BUNDLE": str(tmp_path / "ca.pem")}
    access = read(Path("/nowhere"), {**MINIO, **variables})
    with pytest.raises(StoreError, match="the file of trusted certificates") as raised:
        connection_options(access, "bucket")
    assert "AWS_CA_BUNDLE" in raised.value.hint


def test_checksums_are_sent_to_aws_and_where_they_are_needed(home: Path) -> None:
    assert read(home, MINIO).checksums == "when_required"
    assert read(home, AWS).checksums == "when_supported"
    aws = {"AWS_ENDPOINT_URL_S3": "https://s3.eu-west-1.amazonaws.com"}
    assert read(home, {**AWS, **aws}).checksums == "when_supported"


def test_a_bucket_may_be_part_of_the_host_name() -> None:
    variables = {**MINIO, "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true"}
    config = connection_options(read(Path("/nowhere"), variables), "b")["config"]
    assert config["endpoint"] == "http://b.minio:9000"


VARIABLES = st.fixed_dictionaries(
    {},
    optional={
        "AWS_ENDPOINT_URL_S3": st.just("https://s3.example"),
        "AWS_ENDPOINT_URL": st.just("http://all.example:9000"),
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": st.sampled_from(["true", "false"]),
        "AWS_DEFAULT_REGION": st.just("ap-south-1"),
        "AWS_SECURITY_TOKEN": st.just("older"),
        "AWS_PROFILE": st.sampled_from(["team", "services", "process", "ignoring"]),
        "AWS_DEFAULT_PROFILE": st.just("default"),
        "AWS_CA_BUNDLE": st.just("/a.pem"),
        "REQUESTS_CA_BUNDLE": st.just("/b.pem"),
    },
)


@settings(max_examples=25, deadline=None)
@given(VARIABLES, st.booleans(), st.booleans())
def test_it_is_what_botocore_finds(
    home: Path, variables: dict[str, str], with_key: bool, resolved: bool
) -> None:
    """Also when botocore is given the variables of the result alone, as a stage is."""
    from botocore.session import Session

    with environment(home, {**variables, **(AWS if with_key else {})}) as environ:
        ours = read_s3_access()
        passed = ours.variables(environ) if resolved else variables | (AWS if with_key else {})
    with environment(Path("/nowhere") if resolved else home, passed):
        session = Session()
        client = session.create_client("s3", region_name=None if ours.region else "us-east-1")
        credentials = session.get_credentials()
        theirs = credentials.get_frozen_credentials() if credentials else None
        verify = session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    endpoint = client.meta.endpoint_url
    assert endpoint == ours.endpoint or (not ours.endpoint and endpoint.endswith(".amazonaws.com"))
    assert client.meta.region_name == ours.region
    key = (theirs.access_key, theirs.secret_key, theirs.token or "") if theirs else ("", "", "")
    assert key == keys(ours)
    assert (verify or "") == ours.ca_bundle


def test_an_endpoint_of_minio_is_used_by_stages_whatever_the_settings_of_aws(home: Path) -> None:
    from botocore.session import Session

    variables = {**MINIO, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}
    with environment(home, variables) as environ:
        passed = read_s3_access().variables(environ)
    with environment(Path("/nowhere"), passed):
        assert Session().create_client("s3").meta.endpoint_url == MINIO["MINIO_ENDPOINT"]


def test_boto3_gets_the_same(home: Path) -> None:
    options = boto_options(read(home, {"AWS_PROFILE": "team", "SSL_CERT_FILE": "/c"}))
    assert options["verify"] == "/team.pem"
    assert options["config"].s3 == {"addressing_style": "virtual"}
    assert options["config"].request_checksum_calculation == "when_required"


def test_variables_leave_botocore_alone(home: Path, tmp_path: Path) -> None:
    """Imported only where the variables leave something open: it costs more than a run with nothing to do."""
    import subprocess

    code = (
        "import sys, daintree.store.s3 as s; s.read_s3_access(); print('botocore' in sys.modules)"
    )
    (tmp_path / "config").write_text("[default]\nregion = eu-west-1\n")
    named = {"AWS_REGION": "x", "AWS_ENDPOINT_URL_S3": "http://h"}
    for variables in (MINIO, {**AWS, **named, "AWS_CONFIG_FILE": str(tmp_path / "config")}):
        environ = {"HOME": str(home), "PATH": os.environ["PATH"], **variables}
        done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True)
        assert done.stdout == b"False\n", done.stderr
