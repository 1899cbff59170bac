"""What a run tells while it goes on; the report layer turns it into lines."""

from __future__ import annotations

from typing import Protocol

from daintree.manifest import IndexRecord


class Listener(Protocol):
    """Gets the events of a run; called from the threads that the stages run in."""

    def hit(self, stage: str, record: IndexRecord) -> None:
        """A stage's output is in the store."""
        ...

    def starting(self, stage: str, reason: str) -> None:
        """A stage is about to be computed."""
        ...

    def line(self, stage: str, text: str) -> None:
        """The stage said a line."""
        ...

    def computed(self, stage: str, record: IndexRecord) -> None:
        """A stage was computed and published."""
        ...

    def note(self, stage: str, text: str) -> None:
        """Something worth knowing that is no problem: an installation, a wait."""
        ...

    def warning(self, stage: str, text: str) -> None:
        """Something went wrong and is being put right."""
        ...
