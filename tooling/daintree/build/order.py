"""What an image of a version is built of: its snapshot as a context, the pins of its base images, its labels."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import msgspec

from daintree import __version__
from daintree.digest import short
from daintree.image import labels
from daintree.image.context import DOCKERFILE, build_context
from daintree.image.protocol import BuildOrder
from daintree.version import ComponentVersion
from daintree.version.dockerfile import with_pins


class Origin(msgspec.Struct, frozen=True):
    """Where the files of a version came from: the commit ("" when they are in none), its repository, and when.

    `created` is an ISO 8601 time: the commit's, or that of the build of what is not committed.
    """

    commit: str
    source: str
    created: str


def build_order(
    version: ComponentVersion,
    snapshot: Path,
    references: tuple[str, ...],
    origin: Origin,
    *,
    fresh: bool = False,
) -> BuildOrder:
    """The order to build the image of a version from its snapshot; `fresh` uses nothing built before.

    Raises OSError as reading the snapshot does.
    """
    build_args = version.spec.build_args
    dockerfile = (snapshot / DOCKERFILE).read_bytes()
    pinned = with_pins(dockerfile, build_args, dict(version.bases))
    return BuildOrder(
        context=build_context(snapshot, [file.path for file in version.files], pinned),
        build_args=build_args,
        labels=image_labels(version, origin),
        references=references,
        platform=version.platform,
        fresh=fresh,
    )


def image_labels(version: ComponentVersion, origin: Origin) -> dict[str, str]:
    """The labels of a version's image."""
    given = {
        labels.COMPONENT: version.name,
        labels.VERSION: version.digest,
        labels.SPEC: msgspec.json.encode(version.spec).decode("utf-8"),
        labels.TITLE: version.name,
        labels.DESCRIPTION: version.spec.description,
        labels.IMAGE_VERSION: short(version.digest),
        labels.REVISION: origin.commit,
        labels.SOURCE: public_url(origin.source),
        labels.CREATED: origin.created,
        labels.BUILT_BY: f"daintree {__version__}",
    }
    return {name: value for name, value in given.items() if value}


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
