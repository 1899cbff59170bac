"""The model that is served, and its replacement by a newer one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from stageio import StageError

from .provenance import Provenance, opened
from .stability import tenths_of

Model = TypeVar("Model")
# How often each item occurs in the data that a model was trained on.
Counts = Mapping[str, int]


class Models(Generic[Model]):
    """The current model. Who takes `current` once for a request is answered by one model alone.

    A newer model is loaded beside the old one, which goes on answering, and takes its place in one
    step; where loading fails, the old one stays.
    """

    def __init__(
        self,
        load: Callable[[Path], Model],
        reference: str,
        store: str,
        trained: Callable[[Path], Counts] | None = None,
    ) -> None:
        """Load the model that `reference` names (see `provenance.opened`) by `load`.

        Raises StageError.
        """
        self._load, self._trained = load, trained
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

    @property
    def tenths(self) -> Mapping[str, int]:
        """The tenth of the current model's training data that each item is in, as far as it is known."""
        return self._standing[2]

    async def reload(self) -> Provenance:
        """Load again what the reference names by now; one such call at a time.

        Raises StageError, and then nothing has changed.
        """
        async with self._loading:
            self._standing = await asyncio.to_thread(self._read)
            return self.provenance

    def _read(self) -> tuple[Model, Provenance, Mapping[str, int]]:
        with opened(self._reference, self._store) as (directory, provenance):
            try:
                model = self._load(directory)
                tenths = tenths_of(self._trained(directory)) if self._trained else {}
                return model, provenance, tenths
            except (OSError, ValueError) as error:
                raise StageError(
                    f"{provenance.place}: not a model that can be read: {error}",
                    "take the output of the stage that trains it",
                ) from error
