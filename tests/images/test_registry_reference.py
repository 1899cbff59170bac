"""Image references."""

from __future__ import annotations

import pytest

from daintree.errors import ImageError
from daintree.images.registry import Repository, component_repository, parse_reference, version_tag


@pytest.mark.parametrize(
    ("registry", "expected"),
    [
        ("", "item2vec/train:dev"),
        ("registry.example", "registry.example/item2vec/train:dev"),
        ("127.0.0.1:5000/team/ml", "127.0.0.1:5000/team/ml/item2vec/train:dev"),
    ],
)
def test_a_components_reference(registry: str, expected: str) -> None:
    assert component_repository(registry, "item2vec/train").tagged("dev") == expected


@pytest.mark.parametrize(
    ("image", "name", "tag", "digest"),
    [
        ("host:5000/ml/load", "ml/load", "latest", ""),
        ("host:5000/ml/load:v1", "ml/load", "v1", ""),
        ("host:5000/ml/load@sha256:12", "ml/load", "latest", "sha256:12"),
        ("host:5000/ml/load:v1@sha256:12", "ml/load", "v1", "sha256:12"),
    ],
)
def test_the_parts_of_a_reference(image: str, name: str, tag: str, digest: str) -> None:
    assert parse_reference(image) == (Repository("host:5000", name), tag, digest)


def test_a_versions_tag() -> None:
    assert version_tag("sha256:" + "0123456789abcdef" * 4) == "0123456789abcdef0123"


@pytest.mark.parametrize("name", ["Item2vec/train", "a b", "a/-b", "a/b-", "ä", "a/b...c", "a:b"])
def test_a_name_that_no_image_can_have(name: str) -> None:
    with pytest.raises(ImageError) as failure:
        component_repository("registry.example", name)
    assert failure.value.message.startswith(f"components/{name}: ")
    assert "rename the directory" in failure.value.hint


def test_a_name_that_is_too_long() -> None:
    with pytest.raises(ImageError, match="longer than 255"):
        component_repository("registry.example/" + "a" * 200, "b" * 60)
