"""A component whose repository the registry refuses, or whose tag names another version, has an error of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from daintree.errors import RegistryUnavailable
from daintree.images.registry import RegistryClient, Repository
from daintree.images.tags import Candidate, ImageLabelCache, Published, published, tag_errors
from tests.component_version import component_version
from tests.services.faulty_registry import Reply, answering

DIGEST = "sha256:" + "1" * 64


def candidate(host: str, name: str) -> Candidate:
    version = component_version(
        name,
        "sha256:" + "2" * 64,
    )
    return Candidate(version, Repository(host, name))


def script(method: str, path: str, headers: Mapping[str, str]) -> Reply:
    """Answer of a registry that refuses what is secret, and has one image in every other repository."""
    if "/secret/" in path or "GET" in method:
        return 403, {}, b""
    return 200, {"Docker-Content-Digest": DIGEST}, b""


def test_a_repository_that_is_refused_is_an_error_of_its_component(tmp_path: Path) -> None:
    cache = ImageLabelCache(tmp_path)
    cache.add({DIGEST: "sha256:" + "2" * 64})
    with answering(script) as served:
        registry = RegistryClient(served.address)
        candidates = [candidate(served.address, name) for name in ("a/open", "a/secret")]
        tags = published(registry, candidates, "")
        errors = tag_errors(registry, cache, candidates, tags)
    assert tags["a/open"] == Published(DIGEST)
    assert list(errors) == ["a/secret"]
    assert "refuses" in errors["a/secret"].message


def test_labels_that_are_refused_are_an_error_of_their_component(tmp_path: Path) -> None:
    with answering(script) as served:
        registry = RegistryClient(served.address)
        candidates = [candidate(served.address, "a/open")]
        tags = published(registry, candidates, "")
        errors = tag_errors(registry, ImageLabelCache(tmp_path), candidates, tags)
    assert "refuses" in errors["a/open"].message


def test_a_tag_that_names_another_version_is_an_error_of_its_component(tmp_path: Path) -> None:
    cache = ImageLabelCache(tmp_path)
    cache.add({DIGEST: "sha256:" + "3" * 64})
    with answering(script) as served:
        registry = RegistryClient(served.address)
        candidates = [candidate(served.address, "a/open")]
        errors = tag_errors(registry, cache, candidates, published(registry, candidates, ""))
    assert f"its label says sha256:{'3' * 64}" in errors["a/open"].message
    assert "never overwritten" in errors["a/open"].hint


def test_a_registry_that_does_not_answer_stops_all(tmp_path: Path) -> None:
    with pytest.raises(RegistryUnavailable):
        published(RegistryClient("127.0.0.1:1"), [candidate("127.0.0.1:1", "a/open")], "")
