"""What every store guarantees when threads, processes and machines publish at once, and are killed."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest

from daintree.errors import DaintreeError
from daintree.store.records import index_record_of
from daintree.store.store import Store
from tests.contract.runs import (
    FILES,
    KEY,
    OTHER_RUN,
    RUN,
    add_source,
    contents,
    fetched,
    key_of,
    publish,
    publish_indexed,
    record_of,
)
from tests.contract.stores import Place
from tests.contract.workers import LONGEST_SECONDS, StartWorker, at_once, finish, hear

WRITERS = 20


def test_of_many_threads_one_creates_and_the_others_adopt_its_record(
    place: Place, other: Store
) -> None:
    stores = [place.other_machine().open() for _ in range(WRITERS)]
    records = [record_of(f"run-{number}") for number in range(WRITERS)]
    winners = at_once(WRITERS, lambda n: stores[n].publish_index(KEY, records[n]))
    assert winners[0] in records
    assert winners == [winners[0]] * WRITERS
    assert other.lookup([KEY]) == [winners[0]]


def test_of_many_threads_on_one_store_one_creates(store: Store) -> None:
    winners = at_once(WRITERS, lambda n: store.publish_index(KEY, record_of(f"run-{n}")))
    assert winners == store.lookup([KEY]) * WRITERS


def test_of_many_processes_one_creates_and_the_others_adopt_its_record(
    start: StartWorker, place: Place, store: Store
) -> None:
    workers = [
        start("publish_index", KEY, f"run-{number}", on=place.other_machine())
        for number in range(WRITERS)
    ]
    assert [hear(worker) for worker in workers] == ["ready"] * WRITERS
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    winners = {finish(worker) for worker in workers}
    [winner_record] = store.lookup([KEY])
    assert winner_record is not None
    assert winners == {winner_record.run}


def test_of_many_that_replace_the_same_record_one_does(place: Place, store: Store) -> None:
    first = store.publish_index(KEY, record_of(RUN))
    stores = [place.other_machine().open() for _ in range(WRITERS)]
    records = [record_of(f"run-{number}") for number in range(WRITERS)]
    winners = at_once(WRITERS, lambda n: stores[n].publish_index(KEY, records[n], replacing=first))
    assert winners[0] in records
    assert winners == [winners[0]] * WRITERS
    assert store.lookup([KEY]) == [winners[0]]


def test_of_many_that_repair_a_broken_record_one_does(place: Place, store: Store) -> None:
    place.write(f"_cache/{KEY[7:]}", b"broken")
    winners = at_once(WRITERS, lambda n: store.publish_index(KEY, record_of(f"run-{n}")))
    assert winners == store.lookup([KEY]) * WRITERS


def test_of_many_that_publish_to_one_place_one_does(place: Place, other: Store) -> None:
    stores = [place.open() for _ in range(8)]
    location = "shop/train/here"

    def attempt(number: int) -> str:
        files = {"mine": str(number).encode(), f"only-{number}": b""}
        try:
            return publish(stores[number], f"run-{number}", files, location=location).run
        except DaintreeError:
            return ""

    [winner] = [run for run in at_once(8, attempt) if run]
    manifest = other.read_run(location)
    assert manifest is not None
    assert manifest.run == winner
    assert set(fetched(other, index_record_of(manifest))) == {"mine", f"only-{winner[4:]}"}
    assert [run.run for run in other.history("words", "train")] == [winner]


def test_many_publish_side_by_side(place: Place, other: Store) -> None:
    stores = [place.open() for _ in range(8)]
    runs = [f"20260301T10150000{n}Z-00000000" for n in range(8)]
    at_once(8, lambda n: publish(stores[n], runs[n], {"n": str(n).encode()}))
    manifests = list(other.history("words", "train"))
    assert [manifest.run for manifest in manifests] == runs[::-1]
    for number, manifest in zip(reversed(range(8)), manifests, strict=True):
        run = other.read_run(manifest.location)
        assert run is not None
        assert fetched(other, index_record_of(run)) == {"n": str(number).encode()}


def test_who_sees_a_manifest_sees_a_whole_output(store: Store, other: Store) -> None:
    given_up = threading.Event()
    seen: list[str] = []

    def watch() -> None:
        while len(seen) < 10 and not given_up.is_set():
            for number in range(len(seen), 10):
                manifest = other.read_run(f"place/{number}")
                if manifest is None:
                    break
                other.check(index_record_of(manifest), thorough=True)
                seen.append(manifest.run)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    files = {f"{n}.bin": bytes(1000) for n in range(50)}
    for number in range(10):
        publish(store, f"run-{number}", files, location=f"place/{number}")
    watcher.join(LONGEST_SECONDS)
    given_up.set()
    assert seen == [f"run-{number}" for number in range(10)]


@pytest.mark.parametrize("after", [1, 2, 3, 5, 8])
def test_a_killed_publisher_leaves_whole_runs_only(
    start: StartWorker, place: Place, after: int
) -> None:
    worker = start("publish_runs")
    begun = [hear(worker) for _ in range(after)]
    worker.send_signal(signal.SIGKILL)
    worker.wait(LONGEST_SECONDS)

    reader = place.open()
    listed = [manifest.run for manifest in reader.history("words", "train")]
    assert set(begun[:-1]) <= set(listed)
    for manifest in reader.history("words", "train"):
        run = reader.read_run(manifest.location)
        assert run is not None
        reader.check(index_record_of(run), thorough=True)
    [record] = reader.lookup([key_of("content")])
    if record is not None:
        reader.check(record, thorough=True)
    assert len(publish(reader, "run-after-it").output.files) == len(FILES)  # type: ignore[union-attr]


def test_the_staging_place_of_a_killed_process_is_removed_by_the_next(
    start: StartWorker, place: Place
) -> None:
    worker = start("stage", RUN)
    output = Path(hear(worker))
    assert contents(output) == {"half-written": b""}
    with place.open().stage(OTHER_RUN):
        assert output.exists(), "its owner is alive"
    worker.kill()
    worker.wait(LONGEST_SECONDS)

    with place.open().stage(OTHER_RUN):
        assert not output.exists()


def test_a_source_added_by_many_at_once_is_whole_for_all(place: Place, other: Store) -> None:
    stores = [place.open() for _ in range(8)]
    added = at_once(8, lambda n: add_source(stores[n], FILES, f"run-{n}"))
    assert len({digest for digest, _ in added}) == 1
    assert [contents(directory) for _, directory in added] == [FILES] * 8
    source = other.source_path(added[0][0])
    assert source is not None
    assert contents(source) == FILES


def test_a_note_is_read_whole_while_others_write_it(place: Place) -> None:
    versions = [bytes([letter]) * 50_000 for letter in b"abcd"]
    stores = [place.open() for _ in range(8)]
    stores[0].write_note("n", versions[0])

    def act(number: int) -> set[bytes]:
        for turn in range(10):
            if number % 2:
                stores[number].write_note("n", versions[(number + turn) % 4])
        return {stores[number].read_note("n") or b"" for _ in range(10)}

    for seen in at_once(8, act):
        assert seen <= set(versions)


def test_emptying_spares_what_others_are_doing(start: StartWorker, place: Place) -> None:
    store = place.open()
    publish_indexed(store)
    staging, holder = start("stage", OTHER_RUN), start("hold_lease", KEY)
    output = Path(hear(staging))
    assert hear(holder) == "held"

    store.empty()

    assert store.usage()[0] == 0
    assert contents(output) == {"half-written": b""}

    def give_up() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError), place.open().lease(KEY, waiting=give_up):
        pytest.fail("two hold the same lease")
