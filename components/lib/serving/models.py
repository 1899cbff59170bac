"""The model that is served, and its replacement by a newer one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from stageio import StageError

from .provenance import Provenance, opened

Model = TypeVar("Model")


class Models(Generic[Model]):
    """The current model. Who takes `current` once for a request is answered by one model alone.

    A newer model is loaded beside the old one, which goes on answering, and takes its place in one
    step; where loading fails, the old one stays.
    """

    def __init__(self, load: Callable[[Path], Model], reference: str, store: str) -> None:
        """Load the model that `reference` names (see `provenance.opened`) by `load`.

        Raises StageError.
        """
        self._load = load
        self._reference, self._store = reference, store
        self._loading = asyncio.Lock()
        self._standing = self._read()

    @property
    def current(self) -> Model:
        """The model that answers now."""
        return self._standing[0]

    @property
    def provenance(self) -> Provenance:
        """Where the current model comes from."""
        return self._standing[1]

    async def reload(self) -> Provenance:
        """Load again what the reference names by now; one such call at a time.

        Raises StageError, and then nothing has changed.
        """
        async with self._loading:
            self._standing = await asyncio.to_thread(self._read)
            return self.provenance

    def _read(self) -> tuple[Model, Provenance]:
        with opened(self._reference, self._store) as (directory, provenance):
            try:
                return self._load(directory), provenance
            except (OSError, ValueError) as error:
                raise StageError(
                    f"{provenance.place}: not a model that can be read: {error}",
                    "take the output of the stage that trains it",
                ) from error
