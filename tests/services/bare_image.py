"""An image without layers: all that the answers of a registry tell of one, and quick to push."""

from __future__ import annotations

import hashlib
import json

from tests.services.registry import MANIFEST, Registry

CONFIG = json.dumps({"config": {"Labels": {"a": "b"}}}).encode()


def digest_of(body: bytes) -> str:
    """The digest of a manifest or a blob."""
    return "sha256:" + hashlib.sha256(body).hexdigest()


def manifest_of(config: bytes) -> bytes:
    """The manifest of the image that has this configuration."""
    described = {"mediaType": "application/json", "size": len(config), "digest": digest_of(config)}
    return json.dumps(
        {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": []}
    ).encode()


def push(registry: Registry, name: str, tag: str, config: bytes = CONFIG) -> str:
    """Put the image of this configuration into a real registry, as its API has it; its digest."""
    _, headers, _ = registry.ask("POST", f"/v2/{name}/blobs/uploads/")
    place = "/" + headers["location"].split("/", 3)[3]
    status, _, _ = registry.ask("PUT", f"{place}&digest={digest_of(config)}", config)
    assert status == 201
    body = manifest_of(config)
    assert registry.ask("PUT", f"/v2/{name}/manifests/{tag}", body)[0] == 201
    return digest_of(body)
