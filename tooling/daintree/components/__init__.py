"""Components, and their versions: content addresses that git computes."""

from daintree.components.dockerfile import (
    read_instructions,
    system_installers,
    with_pins,
    with_platform,
)
from daintree.components.entries import TOP
from daintree.components.source import (
    DOCKERFILE,
    ENTRYPOINT,
    NAMED_FILES,
    REQUIREMENTS,
    SPEC,
    TOOLING,
    default_dockerfile,
    directory_of,
    discover_components,
    discover_images,
    discover_libraries,
    is_component,
    read_description,
)
from daintree.components.tree import WorkingTree
from daintree.components.version import (
    ComponentVersion,
    VersionedFile,
    gathered,
    read_each_version,
    read_versions,
    transitive_libraries,
)

__all__ = [
    "DOCKERFILE",
    "ENTRYPOINT",
    "NAMED_FILES",
    "REQUIREMENTS",
    "SPEC",
    "TOOLING",
    "TOP",
    "ComponentVersion",
    "VersionedFile",
    "WorkingTree",
    "default_dockerfile",
    "directory_of",
    "discover_components",
    "discover_images",
    "discover_libraries",
    "gathered",
    "is_component",
    "read_description",
    "read_each_version",
    "read_instructions",
    "read_versions",
    "system_installers",
    "transitive_libraries",
    "with_pins",
    "with_platform",
]
