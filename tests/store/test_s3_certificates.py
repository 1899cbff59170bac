"""A server whose certificate a team's own authority has signed: trusted by any of the variables, and told as what it is by none."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from daintree.errors import StoreError, StoreUnavailable
from daintree.store.bucket import Bucket
from daintree.store.contents import make_bucket
from daintree.store.s3 import CA_VARIABLES, S3Access, access_error, read_s3_access
from tests.services import minio as services
from tests.services.certificates import make_certificate

READS = "from stageio.object_store import *; print(object_names(Location.parse('s3://trusted')))"
STAGEIO = Path(__file__).parents[2] / "components/lib"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def access(authority: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Access]:
    """A server that speaks https, reached by somebody who trusts the system's authorities alone."""
    port = services.free_port()
    process = services.start(tmp_path_factory.mktemp("minio"), port, authority.parent)
    yield msgspec.structs.replace(services.access_to(port), endpoint=f"https://127.0.0.1:{port}")
    services.stop(process)


@pytest.mark.parametrize("variable", CA_VARIABLES)
def test_one_variable_is_enough_for_the_tooling_and_for_a_stage(
    access: S3Access, authority: Path, variable: str
) -> None:
    given = {"HOME": "/nowhere", "PATH": os.environ["PATH"], variable: str(authority)}
    given |= services.variables(access)
    resolved = read_s3_access(given)
    bucket = Bucket("s3://trusted", resolved)
    make_bucket(bucket)
    bucket.put("a", b"content")
    assert bucket.get_many(["a"]) == [b"content"]
    for environ in (given, {"HOME": "/nowhere", **resolved.variables(given)}):
        done = subprocess.run(
            [sys.executable, "-c", READS],
            env={**environ, "PYTHONPATH": str(STAGEIO)},
            capture_output=True,
            text=True,
        )
        assert done.stdout == "['a']\n", done.stderr


def test_a_certificate_that_is_not_trusted_is_said(access: S3Access) -> None:
    for request in (lambda b: b.get_many(["a"]), make_bucket):
        with pytest.raises(StoreError) as raised:
            request(Bucket("s3://trusted", access))
        assert not isinstance(raised.value, StoreUnavailable)
        assert raised.value.message == f"the certificate of {access.endpoint} is not trusted"
        assert "AWS_CA_BUNDLE" in raised.value.hint


def test_a_certificate_for_another_name_is_said(access: S3Access, authority: Path) -> None:
    endpoint = access.endpoint.replace("127.0.0.1", "localhost")
    other = msgspec.structs.replace(access, endpoint=endpoint, ca_bundle=str(authority))
    with pytest.raises(StoreError, match="is for another host name"):
        Bucket("s3://trusted", other).get_many(["a"])


def test_http_where_https_is_spoken_is_said(access: S3Access) -> None:
    plain = msgspec.structs.replace(access, endpoint=access.endpoint.replace("https", "http"))
    with pytest.raises(StoreError, match="speaks https only"):
        Bucket("s3://trusted", plain).get_many(["a"])


@pytest.mark.parametrize(
    ("code", "text", "message", "hint"),
    [
        ("", "InvalidCertificate(Expired)", "has expired", "renew it"),
        ("", "InvalidCertificate(Other(CaUsedAsEndEntity))", "is that of an authority", "CA:FALSE"),
        (
            "",
            "received corrupt message of type InvalidContentType",
            "does not speak https",
            "http:",
        ),
        (
            "AuthorizationHeaderMalformed",
            "the region 'us-east-1' is wrong; expecting 'eu-west-1'",
            "is not in the region us-east-1 but in eu-west-1",
            "set AWS_REGION=eu-west-1",
        ),
        ("", "Received redirect without LOCATION", "is not in the region", "set AWS_REGION=REGION"),
        ("ExpiredToken", "", "session token has expired", "aws sso login"),
        ("InvalidTokenId", "", "does not accept the session token", "AWS_SESSION_TOKEN"),
        ("SignatureDoesNotMatch", "", "does not accept the key", "a proxy that rewrites"),
        ("BadDigest", "", "received other bytes than were sent", "update the server"),
        ("", "dns error: failed to lookup address", "there is no host 127.0.0.1", "the endpoint"),
    ],
)
def test_what_does_not_fit_the_server_is_said(
    code: str, text: str, message: str, hint: str
) -> None:
    error = access_error(services.access_to(9), "s3://bucket/x", code, text)
    assert error is not None
    assert message in error.message
    assert hint in error.hint


def test_other_faults_are_for_others() -> None:
    assert access_error(services.access_to(9), "s3://bucket/x", "SlowDown", "slow") is None
