"""Components, and their versions: content addresses that git computes."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daintree.components.dockerfile import read_instructions as read_instructions
    from daintree.components.dockerfile import system_installers as system_installers
    from daintree.components.dockerfile import with_pins as with_pins
    from daintree.components.dockerfile import with_platform as with_platform
    from daintree.components.entries import DOCKERFILE as DOCKERFILE
    from daintree.components.entries import ENTRYPOINT as ENTRYPOINT
    from daintree.components.entries import REQUIREMENTS as REQUIREMENTS
    from daintree.components.entries import SPEC as SPEC
    from daintree.components.entries import TOOLING as TOOLING
    from daintree.components.entries import TOP as TOP
    from daintree.components.entries import directory_of as directory_of
    from daintree.components.source import NAMED_FILES as NAMED_FILES
    from daintree.components.source import default_dockerfile as default_dockerfile
    from daintree.components.source import discover_components as discover_components
    from daintree.components.source import discover_images as discover_images
    from daintree.components.source import discover_libraries as discover_libraries
    from daintree.components.source import is_component as is_component
    from daintree.components.source import read_description as read_description
    from daintree.components.tree import WorkingTree as WorkingTree
    from daintree.components.version import ComponentVersion as ComponentVersion
    from daintree.components.version import VersionedFile as VersionedFile
    from daintree.components.version import gathered as gathered
    from daintree.components.version import read_each_version as read_each_version
    from daintree.components.version import read_versions as read_versions
    from daintree.components.version import transitive_libraries as transitive_libraries

_MODULES = {
    "dockerfile": "read_instructions system_installers with_pins with_platform",
    "entries": "DOCKERFILE ENTRYPOINT REQUIREMENTS SPEC TOOLING TOP directory_of",
    "source": "NAMED_FILES default_dockerfile discover_components discover_images discover_libraries is_component read_description",
    "tree": "WorkingTree",
    "version": "ComponentVersion VersionedFile gathered read_each_version read_versions transitive_libraries",
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    """Import what is asked for: a command pays for no more than it uses. Raises AttributeError."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value
