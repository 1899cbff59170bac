"""Random histories of two clones and two buckets: runs, edits, reverts, collections, crashes and damage in any order, and never a wrong output."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from pathlib import Path

from contenders import make_writable
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from oracle import VARIANTS, Place, Tally, Values, flip, forget_cache, overwrite
from projects import PIPELINE
from timing import parser

from tests.services.minio import running_server

STAGES = 2
VIOLATIONS = ("wrong hit", "crash")
CLONES = st.integers(0, 1)
VALUES = st.tuples(*[st.integers(0, VARIANTS - 1)] * STAGES)
TALLY = Tally(VIOLATIONS)


class Histories(RuleBasedStateMachine):
    """Two clones whose homes stay while their stores change: what one address holds never reaches the other."""

    def __init__(self) -> None:
        super().__init__()
        TALLY.add("histories")
        if TALLY.counts["histories"] % 10 == 0:
            print(f"{TALLY.counts['histories']} histories", file=sys.stderr, flush=True)
        self._directory = tempfile.TemporaryDirectory(prefix="state-machine-")
        top, server = Path(self._directory.name), running_server()
        self._places = [Place(top / "one", server), Place(top / "other", server)]
        self._clones = [self._places[n].clone("clone", STAGES) for n in range(2)]
        self._before: list[list[Values]] = [[(0,) * STAGES] for _ in range(2)]

    @rule(clone=CLONES, values=VALUES)
    def edit(self, clone: int, values: Values) -> None:
        """Somebody changes parameters."""
        TALLY.add("edits")
        self._before[clone].append(values)
        self._clones[clone].edit(values)

    @rule(clone=CLONES)
    def revert(self, clone: int) -> None:
        """Somebody goes back to what there was before."""
        TALLY.add("reverts")
        if len(self._before[clone]) > 1:
            self._before[clone].pop()
        self._clones[clone].edit(self._before[clone][-1])

    @rule(clone=CLONES, place=CLONES)
    def change_bucket(self, clone: int, place: int) -> None:
        """A clone uses the other bucket from now on, with the home that it has."""
        TALLY.add("changes of bucket")
        self._clones[clone].environment["DAINTREE_STORE"] = self._places[place].store

    @rule(clone=CLONES)
    def run(self, clone: int) -> None:
        """A run to its end, which publishes what it computes; its outputs are compared."""
        TALLY.add("runs")
        # No assertion: a history with a crash in it is never the same again, so it cannot be made shorter.
        self._clones[clone].run(TALLY)

    @initialize(clone=CLONES, values=VALUES)
    def start(self, clone: int, values: Values) -> None:
        """The first run of all."""
        self.edit_and_run(clone, values)

    @rule(clone=CLONES, values=VALUES)
    def edit_and_run(self, clone: int, values: Values) -> None:
        """What people do most."""
        self.edit(clone, values)
        self.run(clone)

    @rule(clone=CLONES, seconds=st.floats(0, 0.4))
    def crash(self, clone: int, seconds: float) -> None:
        """A run that is killed somewhere."""
        TALLY.add("crashes")
        process = self._clones[clone].start("run", PIPELINE)
        try:
            process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            TALLY.add("crashes that killed")
            process.kill()
            process.communicate()

    @rule(clone=CLONES, cache=st.booleans(), grace=st.sampled_from(["0s", "1h"]))
    def collect(self, clone: int, cache: bool, grace: str) -> None:
        """Somebody collects all that the clone's pipeline does not reach, in the bucket too or in the cache alone."""
        TALLY.add("collections")
        alone = ["--cache"] if cache else []
        code, _, err = self._clones[clone].doit(
            *("gc", "--older-than", "0s", "--grace", grace, "--yes"), *alone
        )
        if code not in (0, 1) or "Traceback" in err:
            TALLY.add("crash", err[-2000:])

    @rule(clone=CLONES, seconds=st.floats(0, 0.1))
    def crash_collecting(self, clone: int, seconds: float) -> None:
        """A collection that is killed somewhere."""
        TALLY.add("crashed collections")
        process = self._clones[clone].start(*("gc", "--older-than", "0s", "--grace", "0s", "--yes"))
        try:
            process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()

    @rule(place=CLONES, seed=st.integers(0, 1 << 32))
    def corrupt_bucket(self, place: int, seed: int) -> None:
        """A disk of the server flips a bit."""
        TALLY.add("damage in a bucket")
        contents = {name: c for name, c in self._places[place].contents().items() if c}
        if contents:
            numbers = random.Random(seed)
            name = numbers.choice(sorted(contents))
            self._places[place].write(name, flip(contents[name], numbers))

    @rule(clone=CLONES, seed=st.integers(0, 1 << 32))
    def corrupt_cache(self, clone: int, seed: int) -> None:
        """A disk of the machine flips a bit."""
        TALLY.add("damage in a cache")
        numbers = random.Random(seed)
        directory = Path(self._clones[clone].environment["DAINTREE_CACHE"])
        # A run that was killed may have left a link to the pipeline's source, which no cache answers for.
        found = (path for path in sorted(directory.rglob("*")) if not path.is_symlink())
        files = [path for path in found if path.is_file() and path.stat().st_size]
        if files:
            path = numbers.choice(files)
            overwrite(path, flip(path.read_bytes(), numbers))

    @rule(clone=CLONES)
    def forget(self, clone: int) -> None:
        """Somebody removes the cache."""
        TALLY.add("caches removed")
        forget_cache(self._clones[clone])

    def teardown(self) -> None:
        """Remove it all."""
        make_writable(Path(self._directory.name))
        self._directory.cleanup()


def main() -> None:
    """Play histories, and print a row."""
    options = parser(__doc__)
    options.add_argument("--steps", type=int, default=20_000, help="steps in all")
    arguments = options.parse_args()
    steps, each = (30, 10) if arguments.quick else (arguments.steps, 50)
    try:
        run_state_machine_as_test(
            Histories,
            settings=settings(
                max_examples=max(1, steps // each),
                stateful_step_count=each,
                deadline=None,
                database=None,
                # In short the same histories each time: a fault in CI is one that can be looked for again.
                derandomize=arguments.quick,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        # Who stops it sees what was played until then.
        sound = TALLY.finish(f"{TALLY.counts.pop('histories')} histories of {each} steps")
    raise SystemExit(not sound)


if __name__ == "__main__":
    main()
