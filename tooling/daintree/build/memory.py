"""Which image digests have been seen to carry which version's label: an image never changes, so once is enough."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path

_FILE = "versions"
_VERSION = re.compile(r"sha256:[0-9a-f]{64}")


class Seen:
    """A file of lines `<image digest> <version>`, shared by processes; without it everything is only asked again."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / _FILE
        try:
            lines = self._file.read_text(encoding="ascii", errors="replace").splitlines()
        except OSError:
            lines = []
        pairs = (line.split(" ") for line in lines)
        self._versions = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}

    def version(self, digest: str) -> str | None:
        """The version in the label of this image, "" for none; None when it has not been seen yet."""
        found = self._versions.get(digest)
        return None if found is None else found.removeprefix("-")

    def remember(self, versions: Mapping[str, str]) -> None:
        """Keep the versions of images that were looked at, by image digest."""
        # A label may say anything; what is no version must not become lines of this file.
        kept = {digest: v if _VERSION.fullmatch(v) else "-" for digest, v in versions.items()}
        self._versions |= kept
        text = "".join(f"{digest} {version}\n" for digest, version in kept.items())
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            # One write of a file opened for appending: lines of several processes do not mix.
            with open(self._file, "ab", buffering=0) as file:
                file.write(text.encode("ascii"))
