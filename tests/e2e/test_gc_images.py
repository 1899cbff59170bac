"""`doit gc --images` with a real registry: what nobody needs goes, and a registry that allows no deletion says so."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.services.registry import MANIFEST, Registry, serve

if TYPE_CHECKING:
    from tests.e2e.projects import Project

REPOSITORY = "ml/text/clean"
OLD, KEPT, COMMIT = "0" * 20, "1" * 20, "2" * 40


def push(registry: Registry, content: str, *tags: str) -> str:
    """Push an image that differs from others by its configuration; its digest."""
    config = json.dumps({"config": {"Labels": {"content": content}}}).encode()
    digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    _, headers, _ = registry.ask("POST", f"/v2/{REPOSITORY}/blobs/uploads/")
    place = headers["location"].partition(registry.address)[2]
    assert registry.ask("PUT", f"{place}&digest={digest}", config)[0] == 201
    described = {
        "mediaType": "application/vnd.docker.container.image.v1+json",
        "size": len(config),
        "digest": digest,
    }
    manifest = json.dumps(
        {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": []}
    ).encode()
    for tag in tags:
        assert registry.ask("PUT", f"/v2/{REPOSITORY}/manifests/{tag}", manifest)[0] == 201
    return f"sha256:{hashlib.sha256(manifest).hexdigest()}"


def with_registry(project: Project, registry: Registry) -> Project:
    """The project whose images are in the registry."""
    return project.at(project.root, DAINTREE_REGISTRY=f"{registry.address}/ml")


def test_what_nobody_needs_goes(ran: Project, tmp_path: Path) -> None:
    [run] = [
        r for r in ran.doit("history", "--json").json()["runs"] if r["component"] == "text/clean"
    ]
    with serve(tmp_path) as registry:
        project = with_registry(ran, registry)
        old = push(registry, "old", OLD, COMMIT)
        push(registry, "newest", KEPT, "latest")
        push(registry, "mine", "3" * 20, "v1.0")
        push(registry, "of a run", run["version"][7:27])
        # A change that is in no commit does not make the run's version unneeded.
        project.write("components/text/clean/more.py", "")
        shown = project.doit("gc", "--images")
        assert f"text/clean  {OLD}, {COMMIT}  {old}" in shown.stdout
        assert "1 image that nobody needs" in shown.stdout
        assert len(registry.tags(REPOSITORY)) == 7
        done = project.doit("gc", "--images", "--yes", "--json").json()
        assert [image["digest"] for image in done["images"]] == [old]
        left = {KEPT, "latest", "3" * 20, "v1.0", run["version"][7:27]}
        assert {t for t in registry.tags(REPOSITORY) if registry.digest(REPOSITORY, t)} == left


def test_a_registry_that_allows_no_deletion_says_so(project: Project, tmp_path: Path) -> None:
    storage = {
        "filesystem": {"rootdirectory": str(tmp_path / "registry")},
        "delete": {"enabled": False},
    }
    with serve(tmp_path, {"storage": storage}) as registry:
        push(registry, "old", OLD)
        complaint = with_registry(project, registry).doit("gc", "--images", "--yes").complaint()
        assert f"the registry {registry.address} allows nobody to delete images" in complaint
        assert registry.tags(REPOSITORY) == [OLD]


def test_without_a_registry_there_are_no_images(project: Project) -> None:
    assert "--images: no registry is set" in project.doit("gc", "--images").complaint()
