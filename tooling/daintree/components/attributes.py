"""Which files git converts between its blobs and the working tree: attributes, and `core.autocrlf`.

Of such a file git's own id says nothing about the bytes on disk, so those are hashed instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from daintree.components.git import Repository, git, records

FILE = ".gitattributes"
_CONVERTING = frozenset({"text", "crlf", "eol", "ident", "filter", "working-tree-encoding"})
_INERT = frozenset({"unset", "unspecified"})

Attributes = Mapping[str, str]


def attribute_files(directories: Iterable[str], levels: int = 0) -> list[str]:
    """The attribute files that may stand above these directories, relative to the root.

    `levels` says how many directories above the root to name, too.
    """
    above = {"../" * level for level in range(levels + 1)}
    for directory in directories:
        parts = directory.split("/")
        above.update("/".join(parts[:count]) + "/" for count in range(1, len(parts)))
    return [parent + FILE for parent in sorted(above)]


def may_convert(repository: Repository) -> bool:
    """Whether git may convert files for other reasons than an attribute file inside the project.

    False is the usual answer, and costs a few look-ups of files; True says only that `git
    check-attr` must tell.
    """
    config = repository.config
    if (
        _autocrlf(config)
        or config.get("core.attributesfile")
        or repository.is_set("core.sparsecheckout")
    ):
        return True
    return any(os.path.exists(path) for path in _sources_elsewhere(repository))


def _sources_elsewhere(repository: Repository) -> list[Path]:
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    above = repository.root.resolve().parents[: repository.levels]
    return [
        repository.common_directory / "info" / "attributes",
        Path(home, "git", "attributes"),
        *_system_files(),
        *(directory / FILE for directory in above),
    ]


def _system_files() -> list[Path]:
    """Where git's own attribute file may lie: in /etc, or in the etc/ beside the bin/ it is in."""
    places = [Path("/etc/gitattributes")]
    for directory in os.get_exec_path():
        if os.path.exists(os.path.join(directory, "git")):
            program = Path(os.path.realpath(os.path.join(directory, "git")))
            return [*places, program.parent.parent / "etc" / "gitattributes"]
    return places


def read_attributes(
    root: Path, paths: Sequence[bytes], *, cached: Mapping[str, str] | None = None
) -> dict[bytes, dict[str, str]]:
    """The attributes of each path that has any.

    `cached` is the environment of an index: then that one alone is asked, not the disk.
    """
    if not paths:
        return {}
    source = () if cached is None else ("--cached",)
    output = git(
        root,
        "check-attr",
        *source,
        "-a",
        "-z",
        "--stdin",
        stdin=b"\0".join(paths) + b"\0",
        env=cached,
    )
    found: dict[bytes, dict[str, str]] = {}
    fields = iter(records(output))
    for path, name, value in zip(fields, fields, fields, strict=True):
        attributes = found.setdefault(path, {})
        attributes[name.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
    return found


def converts(attributes: Attributes, config: Mapping[str, str]) -> bool:
    """Whether the bytes on disk may differ from the blob though git calls the file unmodified."""
    if any(attributes[name] not in _INERT for name in attributes.keys() & _CONVERTING):
        return True
    return _autocrlf(config) and attributes.get("text") != "unset"


def rewrites(attributes: Attributes, config: Mapping[str, str]) -> bool:
    """Whether a checkout may write other bytes than the blob's."""
    given = {name: value for name, value in attributes.items() if value not in _INERT}
    if given.keys() & {"filter", "ident", "working-tree-encoding"} or given.get("eol") == "crlf":
        return True
    to_crlf = config.get("core.autocrlf", "").lower() not in ("", "input") and _autocrlf(config)
    to_crlf = to_crlf or config.get("core.eol", "").lower() == "crlf"
    return to_crlf and attributes.get("text") != "unset"


def _autocrlf(config: Mapping[str, str]) -> bool:
    return config.get("core.autocrlf", "").lower() not in ("", "false", "no", "off", "0")
