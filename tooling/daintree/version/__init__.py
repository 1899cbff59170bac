"""Versions: the content addresses of components."""

from daintree.version.component import ComponentVersion, VersionedFile
from daintree.version.discovery import discover_components, discover_libraries
from daintree.version.own_image import discover_images
from daintree.version.reading import read_each_version, read_versions

__all__ = [
    "ComponentVersion",
    "VersionedFile",
    "discover_components",
    "discover_images",
    "discover_libraries",
    "read_each_version",
    "read_versions",
]
