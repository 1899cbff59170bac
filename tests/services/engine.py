"""The machine's Docker engine, and what tests leave in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import TYPE_CHECKING

import pytest

from daintree.errors import EngineError
from daintree.images.engine import connect
from tests.services.availability import unavailable

if TYPE_CHECKING:
    from docker import APIClient

BASE_IMAGE = "python:3.11-slim"
# On every container that a test makes itself, so that it can be found and removed.
TEST_LABEL = "ml.daintree.test"


@pytest.fixture(scope="session")
def engine() -> Iterator[APIClient]:
    """A client of the engine, which has the base image; the test is skipped where there is none."""
    import docker.errors

    try:
        client = connect()
    except EngineError as error:
        unavailable(f"no Docker engine: {error.message}")
    with contextlib.closing(client):
        try:
            client.inspect_image(BASE_IMAGE)
        except docker.errors.ImageNotFound:
            unavailable(f"the engine has no image {BASE_IMAGE} (.ci/services makes one)")
        yield client


def remove_images(client: APIClient, *, reference: str = "", label: str = "") -> None:
    """Remove the images with this label, or the names that fit this pattern; containers of theirs too.

    An image has other names where another test builds the same version: those stay.
    """
    import docker.errors

    filters = {key: value for key, value in (("reference", reference), ("label", label)) if value}
    assert filters, "that would remove every image"
    for image in client.images(filters=filters):
        named = [name for name in image["RepoTags"] or () if name != "<none>:<none>"]
        fitting = [name for name in named if fnmatch(name, f"{reference or '*'}:*")]
        for name in fitting or ([] if named else [image["Id"]]):
            try:
                client.remove_image(name, force=True)
            except docker.errors.NotFound:
                # Another worker was faster.
                continue
