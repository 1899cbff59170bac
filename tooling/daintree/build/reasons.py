"""Why an image is to be built, in words: what git says has changed, else that nobody has built it yet."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from daintree.errors import DaintreeError
from daintree.settings import Settings


class Since(msgspec.Struct, frozen=True):
    """The components that differ since a base, each with the phrases that say why."""

    base: str
    phrases: Mapping[str, tuple[str, ...]]

    def reasons(self, name: str, otherwise: str) -> tuple[str, ...]:
        """Why the component is affected; `otherwise` where it is not."""
        since = f" since {self.base}" if self.base else ""
        found = self.phrases.get(name, ())
        return tuple(f"affected: {phrase}{since}" for phrase in found) or (otherwise,)


def affected_since(root: Path, settings: Settings, base: str, only: Collection[str]) -> Since:
    """What differs from a commit to the working tree; from "", what `doit affected` compares with.

    Raises as `affected` does.
    """
    # Imported here: a build with nothing to do explains nothing.
    from daintree.affected import affected
    from daintree.git.lineage import upstream_name

    found = affected(
        root, base or None, platform=settings.platform, bases=settings.bases, only=only
    )
    name = base or (upstream_name(root) or "HEAD" if found.base else "")
    return Since(name, {item.name: item.reasons for item in found.components})


def explained(root: Path, settings: Settings, only: Collection[str]) -> Since:
    """As `affected_since` without a base, where not knowing why is no reason not to build.

    A clone that is too shallow has no base to compare with.
    """
    try:
        return affected_since(root, settings, "", only)
    except DaintreeError:
        return Since("", {})


def dirty(
    root: Path, settings: Settings, only: Collection[str]
) -> tuple[str, Mapping[str, tuple[str, ...]]]:
    """HEAD's commit ("" before any), and why the version of each component is not the one that HEAD's files give.

    Raises as `affected` does.
    """
    from daintree.git.commit_tree import resolve_commit

    commit = resolve_commit(root, "HEAD")
    return commit, affected_since(root, settings, commit, only).phrases
