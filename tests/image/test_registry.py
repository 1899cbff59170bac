"""The registry's client: against a real registry, and against one that fails in every way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.services.faulty_registry import Reply, Script, answering, as_json
from tooling.errors import RegistryError, RegistryUnavailable
from tooling.image.protocol import ImageConfig, Manifest
from tooling.image.reference import Repository
from tooling.image.registry import INDEX_TYPES, HttpRegistry, is_loopback, open_registry

if TYPE_CHECKING:
    from tests.services.registry import Registry

SCHEMA2 = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = json.dumps({"config": {"Labels": {"a": "b"}}}).encode()


def digest_of(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


def manifest_of(config: bytes) -> bytes:
    described = {"mediaType": "application/json", "size": len(config), "digest": digest_of(config)}
    return json.dumps(
        {"schemaVersion": 2, "mediaType": SCHEMA2, "config": described, "layers": []}
    ).encode()


def push(registry: Registry, name: str, tag: str, config: bytes = CONFIG) -> str:
    """Put an image without layers into a real registry, as its API has it."""
    _, headers, _ = registry.ask("POST", f"/v2/{name}/blobs/uploads/")
    place = "/" + headers["location"].split("/", 3)[3]
    status, _, _ = registry.ask("PUT", f"{place}&digest={digest_of(config)}", config)
    assert status == 201
    body = manifest_of(config)
    assert registry.ask("PUT", f"/v2/{name}/manifests/{tag}", body)[0] == 201
    return digest_of(body)


@pytest.fixture(autouse=True)
def nobody_is_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


def log_in(directory: Path, address: str, entry: Mapping[str, str]) -> None:
    (directory / "config.json").write_text(json.dumps({"auths": {address: entry}}))


def fault(script: Script, **more: bool) -> RegistryError:
    """What is raised when a registry answers as the script says to a look-up."""
    with answering(script) as served, pytest.raises(RegistryError) as failure:
        HttpRegistry(served.address, **more).digests([(Repository(served.address, "a/b"), "1")])
    return failure.value


def test_digests_labels_and_tags(registry: Registry) -> None:
    client = HttpRegistry(registry.address)
    here = Repository(registry.address, "test/labels")
    digest = push(registry, here.name, "one")
    assert client.digests([(here, "one"), (here, "two"), (here, digest)]) == [digest, "", digest]
    assert client.labels(here, "one", "linux/amd64") == {"a": "b"}
    client.tag(here, client.manifest(here, digest), "two")
    assert client.digests([(here, "two")]) == [digest]
    assert sorted(client.tags(here)) == ["one", "two"]
    assert client.tags(Repository(registry.address, "test/nothing")) == []
    with pytest.raises(RegistryError, match=r"has no .*test/labels manifests/three"):
        client.manifest(here, "three")


def test_what_an_image_says_of_itself(registry: Registry) -> None:
    client = HttpRegistry(registry.address)
    here = Repository(registry.address, "test/config")
    said = {"Labels": {"a": "b"}, "Entrypoint": ["python", "main.py"], "Cmd": ["--help"]}
    digest = push(registry, here.name, "said", json.dumps({"config": said}).encode())
    told = client.config(here, digest, "linux/amd64")
    assert told == ImageConfig({"a": "b"}, ("python", "main.py"), ("--help",))
    # What docker writes where an image has none of them.
    push(registry, here.name, "nothing", b'{"config": {"Labels": null, "Entrypoint": null}}')
    assert client.config(here, "nothing", "linux/amd64") == ImageConfig({}, (), ())
    push(registry, here.name, "bare", b"{}")
    assert client.config(here, "bare", "linux/amd64") == ImageConfig({}, (), ())


def test_a_round_of_many_keeps_its_order(registry: Registry) -> None:
    here = Repository(registry.address, "test/many")
    digests = [push(registry, here.name, f"t{n}", CONFIG + b" " * n) for n in range(20)]
    client = HttpRegistry(registry.address)
    assert client.digests([(here, f"t{n}") for n in range(20)]) == digests


def test_nobody_answers() -> None:
    with pytest.raises(RegistryUnavailable) as failure:
        HttpRegistry("127.0.0.1:1").digests([(Repository("127.0.0.1:1", "a"), "1")])
    assert failure.value.message == "the registry 127.0.0.1:1 cannot be reached: Connection refused"
    assert "DAINTREE_REGISTRY" in failure.value.hint


@pytest.mark.parametrize("status", [500, 503])
def test_an_error_of_the_server(status: int) -> None:
    error = fault(lambda *_: (status, {}, b""))
    assert f"answers {status} " in error.message
    assert error.hint == "try again later"


def test_a_passing_fault_and_a_broken_connection_are_tried_again() -> None:
    replies: list[Reply] = [
        (503, {}, b""),
        (0, {}, b""),
        (200, {"Docker-Content-Digest": "d"}, b""),
    ]
    with answering(lambda *_: replies.pop(0)) as served:
        # The broken connection counts anew: it may have been closed long before.
        client = HttpRegistry(served.address)
        assert client.digests([(Repository(served.address, "a"), "1")]) == ["d"]
        assert len(served.requests) == 3


def test_what_is_no_registry() -> None:
    assert "cannot be reached" in fault(lambda *_: (0, {}, b"")).message


def test_a_registry_that_tells_no_digest_with_head() -> None:
    body = manifest_of(CONFIG)

    def script(method: str, path: str, headers: Mapping[str, str]) -> Reply:
        return 200, {"Content-Type": SCHEMA2}, body if method == "GET" else b""

    with answering(script) as served:
        client = HttpRegistry(served.address)
        assert client.digests([(Repository(served.address, "a"), "1")]) == [digest_of(body)]


def test_a_manifest_or_blob_that_is_not_what_was_asked_for() -> None:
    body = manifest_of(CONFIG)

    def script(method: str, path: str, headers: Mapping[str, str]) -> Reply:
        if "/blobs/" in path:
            return 200, {}, b"{}"
        told = digest_of(b"another") if path.endswith("wrong") else digest_of(body)
        return 200, {"Docker-Content-Digest": told, "Content-Type": SCHEMA2}, body

    with answering(script) as served:
        client, here = HttpRegistry(served.address), Repository(served.address, "a")
        with pytest.raises(RegistryError, match=r"another manifest than .*/a wrong"):
            client.manifest(here, "wrong")
        with pytest.raises(RegistryError, match="another manifest"):
            client.manifest(here, digest_of(b"not that one"))
        with pytest.raises(RegistryError, match="another blob than sha256:"):
            client.labels(here, "right", "linux/amd64")


def test_an_index_has_an_image_for_each_platform() -> None:
    body = manifest_of(CONFIG)
    inner = {"digest": digest_of(body), "platform": {"os": "linux", "architecture": "arm64"}}
    index = json.dumps({"manifests": [inner]}).encode()

    def script(method: str, path: str, headers: Mapping[str, str]) -> Reply:
        if "/blobs/" in path:
            return 200, {}, CONFIG
        if path.endswith(inner["digest"]):  # type: ignore[arg-type]
            return 200, {"Content-Type": SCHEMA2}, body
        return 200, {"Content-Type": INDEX_TYPES[0]}, index

    with answering(script) as served:
        client, here = HttpRegistry(served.address), Repository(served.address, "a")
        assert client.labels(here, "1", "linux/arm64") == {"a": "b"}
        with pytest.raises(RegistryError, match="has no image for linux/amd64"):
            client.labels(here, "1", "linux/amd64")


def test_tags_come_in_pages() -> None:
    def script(method: str, path: str, headers: Mapping[str, str]) -> Reply:
        if "last=" in path:
            return as_json(200, {"tags": ["c"]})
        status, kind, body = as_json(200, {"tags": ["a", "b"]})
        return status, {**kind, "Link": '</v2/a/tags/list?last=b>; rel="next"'}, body

    with answering(script) as served:
        assert HttpRegistry(served.address).tags(Repository("", "a")) == ["a", "b", "c"]


def test_a_push_of_a_tag_is_believed_only_with_its_digest() -> None:
    manifest = Manifest(SCHEMA2, digest_of(b"x"), b"x")
    other = {"Docker-Content-Digest": "sha256:other"}
    with (
        answering(lambda *_: (201, other, b"")) as served,
        pytest.raises(RegistryError, match="did not answer with the digest of"),
    ):
        HttpRegistry(served.address).tag(Repository(served.address, "a"), manifest, "latest")


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
        client, here = HttpRegistry(served.address), Repository(served.address, "a")
        assert client.digests([(here, "1")]) == ["d"]
        assert client.digests([(here, "2")]) == ["d"]
        # Once it is known to be wanted, it goes with the first request.
        assert len(served.requests) == 3
        log_in(tmp_path, served.address, {"auth": "YW5hOnE="})
        with pytest.raises(RegistryError) as failure:
            HttpRegistry(served.address).digests([(here, "1")])
        assert "YW5h" not in failure.value.message + failure.value.hint
        assert not failure.value.message.endswith("nobody is logged in")


@pytest.mark.parametrize(
    ("entry", "method"), [({"auth": "YW5hOnA="}, "GET"), ({"identitytoken": "t"}, "POST")]
)
def test_a_token_for_a_password_or_for_another_token(
    tmp_path: Path, entry: dict[str, str], method: str
) -> None:
    def script(asked: str, path: str, headers: Mapping[str, str]) -> Reply:
        if path.startswith("/token"):
            assert asked == method
            return as_json(200, {"access_token": "secret"})
        if headers.get("Authorization") == "Bearer secret":
            return 200, {"Docker-Content-Digest": "d"}, b""
        realm = (
            f'Bearer realm="http://{headers["Host"]}/token",service="s",scope="repository:a:pull"'
        )
        return 401, {"WWW-Authenticate": realm}, b""

    with answering(script) as served:
        log_in(tmp_path, served.address, entry)
        client, here = HttpRegistry(served.address), Repository(served.address, "a")
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
    with answering(lambda *_: (200, {}, CONFIG)) as elsewhere:

        def script(method: str, path: str, headers: Mapping[str, str]) -> Reply:
            if "Authorization" not in headers:
                return 401, {"WWW-Authenticate": 'Basic realm="x"'}, b""
            if "/blobs/" in path:
                return 307, {"Location": f"http://{elsewhere.address}/blob"}, b""
            return 200, {"Content-Type": SCHEMA2}, manifest_of(CONFIG)

        with answering(script) as served:
            log_in(tmp_path, served.address, {"auth": "YW5hOnA="})
            client = HttpRegistry(served.address)
            labels = client.labels(Repository(served.address, "a"), "1", "linux/amd64")
        assert labels == {"a": "b"}
        assert elsewhere.requests == [("GET", "/blob", "")]


def test_plain_http_is_for_this_machine_or_when_it_is_said() -> None:
    assert all(map(is_loopback, ["localhost", "localhost:5000", "127.0.0.1:5000", "[::1]:5000"]))
    assert not any(
        map(
            is_loopback, ["registry.example", "127.evil.example:5000", "10.0.0.1:5000", "[fe80::1]"]
        )
    )
    with answering(lambda *_: (200, {"Docker-Content-Digest": "d"}, b"")) as served:
        port = served.address.partition(":")[2]
        # A name for this machine that is not known to be one.
        host = f"0.0.0.0:{port}"
        here = [(Repository(host, "a"), "1")]
        assert HttpRegistry(host, plain_http=True).digests(here) == ["d"]
        with pytest.raises(RegistryError) as failure:
            HttpRegistry(host).digests(here)
    assert "does not speak TLS" in failure.value.message
    assert "registry_plain_http = true" in failure.value.hint


def test_the_registry_of_a_setting() -> None:
    assert open_registry("", plain_http=False) is None
    opened = open_registry("registry.example:5000/team/ml", plain_http=False)
    assert opened is not None
    assert opened.host == "registry.example:5000"
