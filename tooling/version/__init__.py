"""Versions: the content addresses of components."""

from tooling.version.component import ComponentVersion, VersionedFile
from tooling.version.discovery import discover_components, discover_libraries
from tooling.version.own_image import discover_images
from tooling.version.reading import read_each_version, read_versions

__all__ = [
    "ComponentVersion",
    "VersionedFile",
    "discover_components",
    "discover_images",
    "discover_libraries",
    "read_each_version",
    "read_versions",
]
