"""A source that is the output of a run with a name: PIPELINE[:STAGE]@NAME.

The name is resolved once, while planning: the digest of the run's output is in the keys, the name is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from daintree.errors import ArtifactDamaged, DaintreeError, SourceError, SpecError, UsageError
from daintree.pipeline.addresses import Address, is_named, named_run, parse_address, pipeline_of
from daintree.pipeline.decisions import SourceIdentity
from daintree.spec.pipeline import load_pipeline
from daintree.store.records import IndexRecord, RunManifest, index_record_of
from daintree.store.store import Store


class NamedSource:
    """The output of the run that has a name, read where it lies in the store."""

    def __init__(self, location: str, sha256: str, root: Path, reader: str, store: Store) -> None:
        """`reader` is the pipeline that reads it. Raises SpecError where pipelines read each other in a circle, SourceError for a declared sha256."""
        self._origin, self._store = location, store
        self._address = parse_address(location)
        self._pipeline = pipeline_of(root, self._address)
        self._run: RunManifest | None = None
        if sha256:
            raise SourceError(
                f"the source {location} is known by its run: sha256 cannot be declared of it",
                hint="leave sha256 out",
            )
        _refuse_circle(root, reader, self._address)

    @property
    def url(self) -> str:
        return ""

    def identify(self) -> SourceIdentity:
        """Resolves the name, once; the run's location is the final origin. Raises SourceError."""
        if self._run is None:
            last = self._pipeline.stages[-1].name if self._pipeline else ""
            try:
                self._run = named_run(self._store, self._address, last)
            except UsageError as error:
                raise SourceError(error.message, hint=error.hint) from None
        digest = self._record.digest
        return SourceIdentity(digest, digest, self._origin, self._run.location)

    def fetch(self) -> SourceIdentity:
        """The same; the output is brought to this machine."""
        identity = self.identify()
        self._output()
        return identity

    def files(self, directory: Path) -> Mapping[str, Path]:
        """One link for each file; every byte is verified."""
        self.identify()
        output = self._output(thorough=True)
        assert self._run is not None
        assert self._run.output is not None
        for entry in self._run.output.files:
            link = directory / entry.path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(output / entry.path)
        return {"": output}

    def holds(self, directory: Path) -> bool:
        """False: it lies in the store."""
        return False

    def unchanged(self) -> bool:
        """True while the run's output is whole."""
        try:
            self._store.check(self._record, thorough=False)
        except ArtifactDamaged:
            return False
        return True

    @property
    def _record(self) -> IndexRecord:
        assert self._run is not None
        return index_record_of(self._run)

    def _output(self, *, thorough: bool = False) -> Path:
        try:
            if thorough:
                self._store.check(self._record, thorough=True)
            return self._store.output_path(self._record)
        except ArtifactDamaged as damage:
            raise SourceError(
                f"the source {self._origin}: {damage.message}", hint="run its pipeline again"
            ) from None


def is_named_source(location: str, directory: Path) -> bool:
    """True for a source that is PIPELINE[:STAGE]@NAME. Raises SourceError where a file is called so, too."""
    if not is_named(location):
        return False
    if (directory / location).exists():
        raise SourceError(
            f"the source {location} is a file, and may be a run that has a name",
            hint=f"write ./{location} for the file",
        )
    return True


def _refuse_circle(root: Path, reader: str, address: Address) -> None:
    """Raise SpecError where the pipeline that is read reads, by names, the reader's own runs."""
    waiting: list[tuple[str, ...]] = [(reader, address.subject)]
    while waiting:
        path = waiting.pop()
        if path[-1] in path[:-1]:
            circle = " → ".join(path[path.index(path[-1]) :])
            raise SpecError(
                f"{reader}: its source {address} goes round in a circle: {circle}",
                hint="a pipeline cannot read what comes of it",
            )
        try:
            sources = load_pipeline(root, path[-1], ()).sources.values()
        except DaintreeError:
            # Another project's, or broken: that is said when somebody runs it.
            continue
        named = {parse_address(s.location).subject for s in sources if is_named(s.location)}
        waiting += [(*path, name) for name in sorted(named)]
