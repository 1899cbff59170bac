"""The input of a build: a tar of exactly a version's files, the same bytes wherever it is made, and the labels of the image."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import msgspec

from daintree import __version__
from daintree.components import ComponentVersion
from daintree.components.dockerfile import with_pins
from daintree.digest import short
from daintree.errors import ImageError
from daintree.images.reference import (
    BUILT_BY_LABEL,
    COMPONENT_LABEL,
    CREATED_LABEL,
    REVISION_LABEL,
    SPEC_LABEL,
    VERSION_LABEL,
)

if TYPE_CHECKING:
    import tarfile

DOCKERFILE = "Dockerfile"
# 1980-01-01, as in snapshots: the earliest time every archive format can hold.
FIXED_TIME = 315_532_800


class BuildInput(msgspec.Struct, frozen=True, kw_only=True):
    """All that an image is built of: the context as a tar, the Dockerfile in it, and what the builder is told."""

    context: bytes
    dockerfile: bytes
    build_args: Mapping[str, str]
    labels: Mapping[str, str]
    references: tuple[str, ...]
    platform: str
    fresh: bool = False

    @property
    def action(self) -> str:
        """The build in the words of an error."""
        return f"build {self.references[0]}"


class Origin(msgspec.Struct, frozen=True):
    """The commit of a version's files ("" when they are in none), its repository, and its time.

    `created` is an ISO 8601 time: the commit's, or that of the build of what is not committed.
    """

    commit: str
    source: str
    created: str


def build_input(
    version: ComponentVersion,
    snapshot: Path,
    references: tuple[str, ...],
    origin: Origin,
    *,
    fresh: bool = False,
) -> BuildInput:
    """The input to build the image of a version from its snapshot; `fresh` uses nothing built before.

    Raises ImageError when the snapshot cannot be read.
    """
    build_args = version.spec.build_args
    try:
        dockerfile = (snapshot / DOCKERFILE).read_bytes()
        pinned = with_pins(dockerfile, build_args, dict(version.bases))
        context = build_context(snapshot, [file.path for file in version.files], pinned)
    except OSError as error:
        raise ImageError(f"{snapshot} cannot be read: {error.strerror}") from None
    return BuildInput(
        context=context,
        dockerfile=pinned,
        build_args=build_args,
        labels=image_labels(version, origin),
        references=references,
        platform=version.platform,
        fresh=fresh,
    )


def image_labels(version: ComponentVersion, origin: Origin) -> dict[str, str]:
    """The labels of a version's image."""
    labels = {
        COMPONENT_LABEL: version.name,
        VERSION_LABEL: version.digest,
        SPEC_LABEL: msgspec.json.encode(version.spec).decode("utf-8"),
        "org.opencontainers.image.title": version.name,
        "org.opencontainers.image.description": version.spec.description,
        "org.opencontainers.image.version": short(version.digest),
        REVISION_LABEL: origin.commit,
        "org.opencontainers.image.source": public_url(origin.source),
        CREATED_LABEL: origin.created,
        BUILT_BY_LABEL: f"daintree {__version__}",
    }
    return {name: value for name, value in labels.items() if value}


def public_url(url: str) -> str:
    """A repository's address without user, password and query; "" when it is no address on the network."""
    if "://" not in url:
        # git's short form of ssh: user@host:path.
        host, colon, path = url.partition(":")
        return f"ssh://{host.rpartition('@')[2]}/{path}" if colon and "/" not in host else ""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "ssh", "git"):
        return ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def build_context(snapshot: Path, paths: Sequence[str], dockerfile: bytes) -> bytes:
    """A tar of these files of a snapshot, with `dockerfile` for its Dockerfile.

    Owners, times, order and modes (0755 or 0644, so that any user can read them) do not depend on who makes it. Raises
    OSError as reading does.
    """
    # Imported here: a build with nothing to do makes none.
    import tarfile

    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for directory in _directories(paths):
            archive.addfile(_member(directory, tarfile.DIRTYPE, 0o755))
        for path in sorted(paths):
            if path == DOCKERFILE:
                _add(archive, _member(path, tarfile.REGTYPE, 0o644), dockerfile)
            elif os.path.islink(snapshot / path):
                member = _member(path, tarfile.SYMTYPE, 0o777)
                member.linkname = os.readlink(snapshot / path)
                archive.addfile(member)
            else:
                executable = (snapshot / path).stat().st_mode & stat.S_IXUSR
                member = _member(path, tarfile.REGTYPE, 0o755 if executable else 0o644)
                _add(archive, member, (snapshot / path).read_bytes())
    return written.getvalue()


def _directories(paths: Sequence[str]) -> list[str]:
    found = {str(parent) for path in paths for parent in Path(path).parents}
    return sorted(found - {"."})


def _member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    import tarfile

    member = tarfile.TarInfo(name)
    member.type, member.mode, member.mtime = kind, mode, FIXED_TIME
    return member


def _add(archive: tarfile.TarFile, member: tarfile.TarInfo, content: bytes) -> None:
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
