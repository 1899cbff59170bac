"""The registry's client: against a real registry, and against one that fails in every way."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Mapping

import pytest

from daintree.errors import RegistryError, RegistryUnavailable
from daintree.images.registry import (
    INDEX_TYPES,
    THREADS,
    ImageConfig,
    Manifest,
    RegistryClient,
    Repository,
    is_loopback,
    open_registry,
)
from tests.images.conftest import fault
from tests.services.bare_image import CONFIG, digest_of, manifest_of, push
from tests.services.faulty_registry import Reply, answering, as_json
from tests.services.registry import MANIFEST, Registry

pytestmark = pytest.mark.usefixtures("nobody_is_logged_in")


def test_digests_labels_and_tags(registry: Registry) -> None:
    client = RegistryClient(registry.address)
    here = Repository(registry.address, "test/labels")
    digest = push(registry, here.name, "one")
    assert client.digests([(here, "one"), (here, "two"), (here, digest)]) == [digest, "", digest]
    assert client.config(here, "one", "linux/amd64").labels == {"a": "b"}
    client.tag(here, client.manifest(here, digest), "two")
    assert client.digests([(here, "two")]) == [digest]
    assert sorted(client.tags(here)) == ["one", "two"]
    assert client.tags(Repository(registry.address, "test/nothing")) == []
    with pytest.raises(RegistryError, match=r"has no .*test/labels manifests/three"):
        client.manifest(here, "three")


def test_what_an_image_says_of_itself(registry: Registry) -> None:
    client = RegistryClient(registry.address)
    here = Repository(registry.address, "test/config")
    config = {"Labels": {"a": "b"}, "Entrypoint": ["python", "main.py"], "Cmd": ["--help"]}
    digest = push(registry, here.name, "config", json.dumps({"config": config}).encode())
    read = client.config(here, digest, "linux/amd64")
    assert read == ImageConfig({"a": "b"}, ("python", "main.py"), ("--help",))
    # What docker writes where an image has none of them.
    push(registry, here.name, "nothing", b'{"config": {"Labels": null, "Entrypoint": null}}')
    assert client.config(here, "nothing", "linux/amd64") == ImageConfig({}, (), ())
    push(registry, here.name, "bare", b"{}")
    assert client.config(here, "bare", "linux/amd64") == ImageConfig({}, (), ())


def test_a_round_of_many_keeps_its_order(registry: Registry) -> None:
    here = Repository(registry.address, "test/many")
    digests = [push(registry, here.name, f"t{n}", CONFIG + b" " * n) for n in range(20)]
    client = RegistryClient(registry.address)
    assert client.digests([(here, f"t{n}") for n in range(20)]) == digests


def test_nobody_answers() -> None:
    with pytest.raises(RegistryUnavailable) as failure:
        RegistryClient("127.0.0.1:1").digests([(Repository("127.0.0.1:1", "a"), "1")])
    assert failure.value.message == "the registry 127.0.0.1:1 cannot be reached: Connection refused"
    assert "DAINTREE_REGISTRY" in failure.value.hint


def test_one_repository_that_is_refused_leaves_the_others() -> None:
    def script(method: str, path: str, headers: Mapping[str, str]) -> Reply:
        return (403, {}, b"") if "/secret/" in path else (200, {"Docker-Content-Digest": "d"}, b"")

    with answering(script) as served:
        images = [(Repository(served.address, name), "1") for name in ("a", "secret", "b")]
        first, refused, last = RegistryClient(served.address).each_digest(images)
    assert (first, last) == ("d", "d")
    assert isinstance(refused, RegistryError)
    assert "refuses" in refused.message
    with pytest.raises(RegistryUnavailable):
        RegistryClient("127.0.0.1:1").each_digest([(Repository("127.0.0.1:1", "a"), "1")])


TOKEN = 'Bearer realm="http://127.0.0.1:1/token"'
# By repository: the answer, and its component's error.
FAULTS: dict[str, tuple[Reply, str]] = {
    "moved": (
        (307, {"Location": "http://127.0.0.1:1/x"}, b""),
        "127.0.0.1:1, where the registry {} leads to, cannot be reached: Connection refused",
    ),
    "token": (
        (401, {"WWW-Authenticate": TOKEN}, b""),
        "127.0.0.1:1, where the registry {} leads to, cannot be reached: Connection refused",
    ),
    "secret": ((403, {}, b"<html>no</html>"), "the registry {} refuses"),
    "busy": ((429, {"Retry-After": "900"}, b""), "the registry {} answers 429 Too Many Requests"),
    "broken": ((500, {}, b"<html>"), "the registry {} answers 500 Internal Server Error"),
    "hangs-up": ((0, {}, b""), "the registry {} cannot be reached"),
    "circle": ((302, {"Location": "/v2/circle/"}, b""), "the registry {} answers 302 Found"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_fault_of_one_repository_is_its_own_whichever_it_is(fault: str) -> None:
    reply, words = FAULTS[fault]

    def script(method: str, path: str, headers: Mapping[str, str]) -> Reply:
        return reply if f"/{fault}/" in path else (200, {"Docker-Content-Digest": "d"}, b"")

    with answering(script) as served:
        images = [(Repository(served.address, name), "1") for name in (fault, "a", "b")]
        error, *others = RegistryClient(served.address).each_digest(images)
    assert others == ["d", "d"]
    assert isinstance(error, RegistryError)
    assert error.message.startswith(words.format(served.address))
    other_server = fault in ("moved", "token")
    assert ("let this machine reach that server" in error.hint) == other_server


def test_a_silent_registry_is_asked_in_one_round_alone() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        images = [(Repository(host, f"r{number}"), "1") for number in range(3 * THREADS)]
        with pytest.raises(RegistryUnavailable, match="does not answer"):
            RegistryClient(host, seconds=0.2).each_digest(images)
        silent.setblocking(False)
        connections = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                silent.accept()[0].close()
                connections += 1
    assert connections <= THREADS


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
        client = RegistryClient(served.address)
        assert client.digests([(Repository(served.address, "a"), "1")]) == ["d"]
        assert len(served.requests) == 3


def test_the_pause_that_a_registry_asks_for_is_kept_or_not_waited_for_at_all() -> None:
    replies: list[Reply] = [
        (429, {"Retry-After": "0"}, b""),
        (200, {"Docker-Content-Digest": "d"}, b""),
        (429, {"Retry-After": "3600"}, b""),
    ]
    with answering(lambda *_: replies.pop(0)) as served:
        client, image = RegistryClient(served.address), (Repository(served.address, "a"), "1")
        assert client.digests([image]) == ["d"]
        with pytest.raises(RegistryError, match="answers 429"):
            client.digests([image])
    assert replies == []


def test_what_is_no_registry() -> None:
    assert "cannot be reached" in fault(lambda *_: (0, {}, b"")).message


def test_a_registry_that_tells_no_digest_with_head() -> None:
    body = manifest_of(CONFIG)

    def script(method: str, path: str, headers: Mapping[str, str]) -> Reply:
        return 200, {"Content-Type": MANIFEST}, body if method == "GET" else b""

    with answering(script) as served:
        client = RegistryClient(served.address)
        assert client.digests([(Repository(served.address, "a"), "1")]) == [digest_of(body)]


def test_a_manifest_or_blob_that_is_not_what_was_asked_for() -> None:
    body = manifest_of(CONFIG)

    def script(method: str, path: str, headers: Mapping[str, str]) -> Reply:
        if "/blobs/" in path:
            return 200, {}, b"{}"
        header = digest_of(b"another") if path.endswith("wrong") else digest_of(body)
        return 200, {"Docker-Content-Digest": header, "Content-Type": MANIFEST}, body

    with answering(script) as served:
        client, here = RegistryClient(served.address), Repository(served.address, "a")
        with pytest.raises(RegistryError, match=r"another manifest than .*/a wrong"):
            client.manifest(here, "wrong")
        with pytest.raises(RegistryError, match="another manifest"):
            client.manifest(here, digest_of(b"not that one"))
        with pytest.raises(RegistryError, match="another blob than sha256:"):
            client.config(here, "right", "linux/amd64")


def test_an_index_has_an_image_for_each_platform() -> None:
    body = manifest_of(CONFIG)
    inner = {"digest": digest_of(body), "platform": {"os": "linux", "architecture": "arm64"}}
    index = json.dumps({"manifests": [inner]}).encode()

    def script(method: str, path: str, headers: Mapping[str, str]) -> Reply:
        if "/blobs/" in path:
            return 200, {}, CONFIG
        if path.endswith(inner["digest"]):  # type: ignore[arg-type]
            return 200, {"Content-Type": MANIFEST}, body
        return 200, {"Content-Type": INDEX_TYPES[0]}, index

    with answering(script) as served:
        client, here = RegistryClient(served.address), Repository(served.address, "a")
        assert client.config(here, "1", "linux/arm64").labels == {"a": "b"}
        with pytest.raises(RegistryError, match="has no image for linux/amd64"):
            client.config(here, "1", "linux/amd64")


def test_tags_come_in_pages() -> None:
    def script(method: str, path: str, headers: Mapping[str, str]) -> Reply:
        if "last=" in path:
            return as_json(200, {"tags": ["c"]})
        status, kind, body = as_json(200, {"tags": ["a", "b"]})
        return status, {**kind, "Link": '</v2/a/tags/list?last=b>; rel="next"'}, body

    with answering(script) as served:
        assert RegistryClient(served.address).tags(Repository("", "a")) == ["a", "b", "c"]


def test_a_push_of_a_tag_is_believed_only_with_its_digest() -> None:
    manifest = Manifest(MANIFEST, digest_of(b"x"), b"x")
    other = {"Docker-Content-Digest": "sha256:other"}
    with (
        answering(lambda *_: (201, other, b"")) as served,
        pytest.raises(RegistryError, match="did not answer with the digest of"),
    ):
        RegistryClient(served.address).tag(Repository(served.address, "a"), manifest, "latest")


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
        assert RegistryClient(host, plain_http=True).digests(here) == ["d"]
        with pytest.raises(RegistryError) as failure:
            RegistryClient(host).digests(here)
    assert "does not speak TLS" in failure.value.message
    assert "registry_plain_http = true" in failure.value.hint


def test_the_registry_of_a_setting() -> None:
    assert open_registry("", plain_http=False) is None
    opened = open_registry("registry.example:5000/team/ml", plain_http=False)
    assert opened is not None
    assert opened.host == "registry.example:5000"
