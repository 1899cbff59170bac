"""A stage's environment opened for somebody to work in: its inputs in place, an output of its own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from daintree.errors import ArtifactDamaged, StoreError
from daintree.run.cached import Cached
from daintree.run.job import job_of, prepare
from daintree.run.planning import Plan
from daintree.runners.protocol import Job


@dataclass(frozen=True)
class Place:
    """Directories for a job that is never published: a `Staging` of no store."""

    directory: Path

    @property
    def output(self) -> Path:
        """As `Staging.output`."""
        return self.directory / "output"

    @property
    def scratch(self) -> Path:
        """As `Staging.scratch`."""
        return self.directory / "scratch"

    @property
    def log(self) -> Path:
        """As `Staging.log`."""
        return self.directory / "log.txt"


@contextmanager
def workbench(plan: Plan, cached: Cached, announce: Callable[[str], None]) -> Iterator[Job]:
    """The stage as a job on its cached inputs, whose bytes are verified; its output is removed in the end.

    Raises StoreError when an input is not whole, and as preparing the environment does.
    """
    for need, record in cached.needs.items():
        try:
            plan.store.check(record, thorough=True)
        except ArtifactDamaged as damage:
            raise StoreError(
                f"the output of {need}: {damage.message}",
                hint=f"doit run {plan.pipeline.name}:{need}",
            ) from None
    prepared = prepare(plan, cached.stage, announce)
    with tempfile.TemporaryDirectory(prefix="daintree-") as name:
        place = Place(Path(name))
        place.output.mkdir()
        place.scratch.mkdir()
        run = f"shell-{os.urandom(4).hex()}"
        yield job_of(plan, cached.stage, run, prepared, cached.needs, place)
