"""Which versions have their image already: asked of the registry in one parallel round, or of the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from daintree.build.memory import Seen
from daintree.errors import ImageError
from daintree.image import labels
from daintree.image.protocol import Registry
from daintree.image.reference import LATEST, Repository, version_tag
from daintree.parallel import side_by_side
from daintree.version import ComponentVersion

THREADS = 16


class Candidate(msgspec.Struct, frozen=True):
    """A component that has a version, and where its images are."""

    version: ComponentVersion
    repository: Repository

    @property
    def name(self) -> str:
        """The component's name."""
        return self.version.name

    @property
    def tag(self) -> str:
        """The version's tag."""
        return version_tag(self.version.digest)

    @property
    def image(self) -> str:
        """The reference with the version's tag."""
        return self.repository.tagged(self.tag)


class Published(msgspec.Struct, frozen=True):
    """What the registry has of a component: the image digests that its tags name, "" for none."""

    version: str
    commit: str = ""
    latest: str = ""


def published(
    registry: Registry, candidates: Sequence[Candidate], commit: str
) -> dict[str, Published]:
    """What the registry has of each component, by name; of its aliases too where `commit` is given.

    One request a tag, all in one round. Raises RegistryError.
    """
    aliases = (commit, LATEST) if commit else ()
    asked = [(c.repository, tag) for c in candidates for tag in (c.tag, *aliases)]
    digests = iter(registry.digests(asked))
    return {
        candidate.name: Published(*(next(digests) for _ in range(1 + len(aliases))))
        for candidate in candidates
    }


def impostors(
    registry: Registry,
    seen: Seen,
    candidates: Sequence[Candidate],
    found: Mapping[str, Published],
) -> dict[str, ImageError]:
    """The components whose version's tag names an image that is not that version's, by its label; with the error.

    A tag has only a version's first digits, and somebody may have set it by hand. Each image is looked at once, ever.
    """
    new = [c for c in candidates if (d := found[c.name].version) and seen.version(d) is None]

    def version_of(candidate: Candidate) -> str:
        digest = found[candidate.name].version
        carried = registry.labels(candidate.repository, digest, candidate.version.platform)
        return carried.get(labels.VERSION, "")

    versions = side_by_side(version_of, new, THREADS)
    if new:
        digests = (found[candidate.name].version for candidate in new)
        seen.remember(dict(zip(digests, versions, strict=True)))
    return {
        candidate.name: _impostor(candidate, seen.version(digest) or "")
        for candidate in candidates
        if (digest := found[candidate.name].version)
        and seen.version(digest) != candidate.version.digest
    }


def _impostor(candidate: Candidate, carried: str) -> ImageError:
    says = f"its label says {carried}" if carried else f"it has no label {labels.VERSION}"
    return ImageError(
        f"{candidate.image} is not the image of {candidate.name} {candidate.version.digest}: {says}",
        hint="a version's tag is never overwritten: delete it in the registry, then build again",
    )
