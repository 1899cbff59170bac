"""Logins and tokens: what a registry wants is given to it, and to nobody else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from daintree.errors import RegistryError
from daintree.images.registry import RegistryClient, Repository
from tests.images.conftest import fault
from tests.services.bare_image import CONFIG, manifest_of
from tests.services.faulty_registry import Reply, answering, as_json
from tests.services.registry import MANIFEST

pytestmark = pytest.mark.usefixtures("nobody_is_logged_in")


def log_in(directory: Path, address: str, entry: Mapping[str, str]) -> None:
    (directory / "config.json").write_text(json.dumps({"auths": {address: entry}}))


def test_a_lost_login() -> None:
    challenge = {"WWW-Authenticate": 'Basic realm="x"'}
    error = fault(lambda *_: (401, challenge, b""))
    assert "refuses 127.0.0.1:" in error.message
    assert error.message.endswith("a/b:1: nobody is logged in")
    assert error.hint.startswith("docker login 127.0.0.1:")


def test_a_password_with_each_request(tmp_path: Path) -> None:
    def script(method: str, path: str, headers: Mapping[str, str]) -> Reply:
        if headers.get("Authorization") == "Basic YW5hOnA=":
            return 200, {"Docker-Content-Digest": "d"}, b""
        return 401, {"WWW-Authenticate": 'Basic realm="x"'}, b""

    with answering(script) as served:
        log_in(tmp_path, served.address, {"auth": "YW5hOnA="})
        client, here = RegistryClient(served.address), Repository(served.address, "a")
        assert client.digests([(here, "1")]) == ["d"]
        assert client.digests([(here, "2")]) == ["d"]
        # Once it is known to be wanted, it goes with the first request.
        assert len(served.requests) == 3
        log_in(tmp_path, served.address, {"auth": "YW5hOnE="})
        with pytest.raises(RegistryError) as failure:
            RegistryClient(served.address).digests([(here, "1")])
        assert "YW5h" not in failure.value.message + failure.value.hint
        assert not failure.value.message.endswith("nobody is logged in")


@pytest.mark.parametrize(
    ("entry", "method"), [({"auth": "YW5hOnA="}, "GET"), ({"identitytoken": "t"}, "POST")]
)
def test_a_token_for_a_password_or_for_another_token(
    tmp_path: Path, entry: dict[str, str], method: str
) -> None:
    def script(sent_method: str, path: str, headers: Mapping[str, str]) -> Reply:
        if path.startswith("/token"):
            assert sent_method == method
            return as_json(200, {"access_token": "secret"})
        if headers.get("Authorization") == "Bearer secret":
            return 200, {"Docker-Content-Digest": "d"}, b""
        realm = (
            f'Bearer realm="http://{headers["Host"]}/token",service="s",scope="repository:a:pull"'
        )
        return 401, {"WWW-Authenticate": realm}, b""

    with answering(script) as served:
        log_in(tmp_path, served.address, entry)
        client, here = RegistryClient(served.address), Repository(served.address, "a")
        assert client.digests([(here, "1")]) == ["d"]
        token_request = served.requests[1]
        if method == "GET":
            assert token_request[1] == "/token?service=s&scope=repository%3Aa%3Apull"
            assert token_request[2] == "Basic YW5hOnA="
        assert client.digests([(here, "2")]) == ["d"]
        assert len(served.requests) == 4


def test_a_token_server_that_refuses_or_cannot_be_trusted() -> None:
    def refusing(method: str, path: str, headers: Mapping[str, str]) -> Reply:
        realm = f'Bearer realm="http://{headers["Host"]}/token",service="s"'
        return (403, {}, b"") if "token" in path else (401, {"WWW-Authenticate": realm}, b"")

    error = fault(refusing)
    assert "gives no token: 127.0.0.1 answers 403" in error.message
    assert error.hint.startswith("docker login ")
    ftp = {"WWW-Authenticate": 'Bearer realm="ftp://evil.example/token"'}
    assert "without TLS" in fault(lambda *_: (401, ftp, b"")).message


def test_a_redirect_to_another_host_takes_no_password_along(tmp_path: Path) -> None:
    with answering(lambda *_: (200, {}, CONFIG)) as other_host:

        def script(method: str, path: str, headers: Mapping[str, str]) -> Reply:
            if "Authorization" not in headers:
                return 401, {"WWW-Authenticate": 'Basic realm="x"'}, b""
            if "/blobs/" in path:
                return 307, {"Location": f"http://{other_host.address}/blob"}, b""
            return 200, {"Content-Type": MANIFEST}, manifest_of(CONFIG)

        with answering(script) as served:
            log_in(tmp_path, served.address, {"auth": "YW5hOnA="})
            client = RegistryClient(served.address)
            labels = client.config(Repository(served.address, "a"), "1", "linux/amd64").labels
        assert labels == {"a": "b"}
        assert other_host.requests == [("GET", "/blob", "")]
