"""The input of a build: pins, files and labels."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from daintree.components import read_versions
from daintree.components.snapshot import make_snapshot
from daintree.images.builders import Origin, build_input, image_labels, public_url

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Monorepo

PIN = "sha256:" + "3" * 64
ORIGIN = Origin("c0ffee", "https://git.example/shop", "2026-03-01T10:15:00+00:00")


def test_the_snapshot_with_pins_and_labels(monorepo: Monorepo, tmp_path: Path) -> None:
    monorepo.component(
        "shop/rank",
        {
            "component.yaml": "uses: [lib/io]\nbuild_args: {WHAT: this}\n",
            "tests/test_main.py": "",
            ".dockerignore": "*.md\n",
            "README.md": "left out\n",
        },
    )
    monorepo.library("lib/io", {"__init__.py": ""})
    bases = {"python:3.11-slim": PIN}
    [version] = read_versions(
        monorepo.root, ["shop/rank"], platform="linux/arm64", bases=bases
    ).values()
    snapshot = make_snapshot(version, tmp_path / "snapshots")
    # What Python leaves in a snapshot that is run from is not part of it.
    (snapshot / "__pycache__").mkdir()
    (snapshot / "__pycache__" / "main.pyc").touch()

    build = build_input(version, snapshot, "shop/rank:dev", ORIGIN)

    assert (build.platform, dict(build.build_args)) == ("linux/arm64", {"WHAT": "this"})
    with tarfile.open(fileobj=io.BytesIO(build.context)) as archive:
        assert [member.name for member in archive if member.isfile()] == [
            # Before all others: Docker's command takes what begins a context for one.
            "Dockerfile",
            ".dockerignore",
            "component.yaml",
            "io/__init__.py",
            "main.py",
        ]
        dockerfile = archive.extractfile("Dockerfile")
        assert dockerfile is not None
        assert dockerfile.read().startswith(b"FROM python:3.11-slim@" + PIN.encode())
    assert build.labels["ml.daintree.version"] == version.digest
    assert build.labels["org.opencontainers.image.revision"] == "c0ffee"
    nowhere = image_labels(version, Origin("", "", ORIGIN.created))
    assert not {"org.opencontainers.image.revision", "org.opencontainers.image.source"} & {*nowhere}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://git.example/shop.git", "https://git.example/shop.git"),
        (
            "https://ana:secret@git.example:8443/shop?token=secret#x",
            "https://git.example:8443/shop",
        ),
        ("ssh://git@git.example/shop", "ssh://git.example/shop"),
        ("git@git.example:team/shop.git", "ssh://git.example/team/shop.git"),
        ("/home/ana/shop", ""),
        ("../shop", ""),
        ("file:///home/ana/shop", ""),
        ("", ""),
    ],
)
def test_a_repositorys_address_holds_no_secret(url: str, shown: str) -> None:
    assert public_url(url) == shown
