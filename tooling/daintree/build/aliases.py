"""The tags of a clean commit that was pushed: `:<commit>`, and `:latest`, which moves only forward in history."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from daintree.build.presence import Candidate, Published
from daintree.git.lineage import commit_seconds, commits_apart, is_on_main_line
from daintree.image import labels
from daintree.image.protocol import Registry
from daintree.image.reference import LATEST

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class Aliases(msgspec.Struct, frozen=True):
    """The aliases that were set, and why `:latest` was left where it is ("" where it was not)."""

    set: tuple[str, ...]
    kept: str = ""


def set_aliases(
    root: Path,
    registry: Registry,
    candidate: Candidate,
    digest: str,
    found: Published,
    commit: str,
) -> Aliases:
    """Make `:<commit>` and `:latest` name the image with this digest, where they do not yet.

    `found` is what the registry had. Raises RegistryError and GitError.
    """
    wanted = [] if found.commit == digest else [commit]
    kept = ""
    if found.latest != digest:
        kept = _why_not_latest(root, registry, candidate, found.latest, commit)
        wanted += [] if kept else [LATEST]
    if wanted:
        manifest = registry.manifest(candidate.repository, digest)
        for tag in wanted:
            registry.tag(candidate.repository, manifest, tag)
    return Aliases(tuple(wanted), kept)


def _why_not_latest(
    root: Path, registry: Registry, candidate: Candidate, latest: str, commit: str
) -> str:
    """Why `:latest` must not move to this commit; "" when it may.

    The commits it may stand for now are those whose tag names the same image. An older one allows the move; so does one aside,
    as after a force push. A later one forbids it.
    """
    if not is_on_main_line(root, commit):
        return "this commit is not on the main branch"
    if not latest:
        return ""
    tags = [tag for tag in registry.tags(candidate.repository) if _COMMIT.fullmatch(tag)]
    apart = commits_apart(root, commit, tags)
    doubtful = sorted(apart.later | apart.unknown)
    digests = registry.digests([(candidate.repository, tag) for tag in doubtful])
    same = {tag for tag, digest in zip(doubtful, digests, strict=True) if digest == latest}
    if same & apart.later:
        return f"it is at the later commit {min(same & apart.later)}"
    if same and not _is_older(root, registry, candidate, latest, same, commit):
        return f"it is at commit {min(same)}, which this clone does not have (git fetch)"
    return ""


def _is_older(
    root: Path,
    registry: Registry,
    candidate: Candidate,
    latest: str,
    unknown: set[str],
    commit: str,
) -> bool:
    """Whether the image was built at one of these unknown commits, at a time that is before `commit`'s.

    A clone that is behind does not know later commits; after a force push none knows those that were left out.
    """
    from datetime import datetime

    carried = registry.labels(candidate.repository, latest, candidate.version.platform)
    if carried.get(labels.REVISION) not in unknown:
        return False
    try:
        created = datetime.fromisoformat(carried.get(labels.CREATED, "")).timestamp()
    except ValueError:
        return False
    return created <= commit_seconds(root, commit)
