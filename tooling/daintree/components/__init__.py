"""Versions: the content addresses of components."""

from daintree.components.discovery import discover_components, discover_images, discover_libraries
from daintree.components.reading import read_each_version, read_versions
from daintree.components.version import ComponentVersion, VersionedFile

__all__ = [
    "ComponentVersion",
    "VersionedFile",
    "discover_components",
    "discover_images",
    "discover_libraries",
    "read_each_version",
    "read_versions",
]
