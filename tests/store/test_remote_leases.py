"""Leases in a bucket of a real MinIO."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from daintree.errors import StoreUnavailable
from daintree.store.backend import MAX_RECORD_BYTES, Content
from daintree.store.bucket import Bucket
from daintree.store.directory import Directory
from daintree.store.records import LeaseRecord, decode, encode
from daintree.store.remote import bucket_lease
from tests.services.minio import Minio

PATH = "_leases/key"


class Server(Directory):
    """A backend that can be out of reach, before or after it has replaced a record: `answered` and `lost` are set then."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.is_away = self.loses_answers = False
        self.requested, self.answered = threading.Event(), threading.Event()
        self.lost = threading.Event()

    def get_many(self, paths: Sequence[str], limit: int = MAX_RECORD_BYTES) -> list[Content]:
        self._request()
        return super().get_many(paths, limit)

    def replace(self, path: str, old: Content, new: bytes) -> bool:
        self._request()
        replaced = super().replace(path, old, new)
        self.answered.set()
        if self.loses_answers:
            self.is_away = True
            self.lost.set()
            self._request()
        return replaced

    def _request(self) -> None:
        self.requested.set()
        if self.is_away:
            raise StoreUnavailable("the server is away")


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """A backend that answers."""
    return Server(tmp_path)


@pytest.fixture
def bucket(minio: Minio) -> Bucket:
    """A fresh bucket."""
    return Bucket(f"s3://{minio.bucket()}", minio.access)


def left(bucket: Bucket, **changed: object) -> None:
    """Leave a lease as a process that was killed leaves it."""
    fields = {"nonce": "dead", "machine": "theirs", "seconds": 0.3, **changed}
    bucket.put(PATH, encode(LeaseRecord(**fields), PATH))  # type: ignore[arg-type]


def test_one_that_is_not_renewed_is_taken_over_after_its_time(bucket: Bucket) -> None:
    left(bucket)
    calls: list[None] = []
    with bucket_lease(bucket, PATH, "ours", 5, lambda: calls.append(None)) as lease:
        assert lease.still_ours()
    assert calls


def test_one_that_is_renewed_is_waited_for_beyond_its_time(bucket: Bucket) -> None:
    left(bucket, seconds=0.001)
    renewals: list[str] = []

    def renew() -> None:
        # Each pause is longer than the lease lasts; its holder renews it in four of them, then dies.
        if len(renewals) < 4:
            renewals.append(f"renewed {len(renewals)}")
            left(bucket, seconds=0.001, nonce=renewals[-1])

    with bucket_lease(bucket, PATH, "ours", 5, renew) as lease:
        assert lease.still_ours()
    assert len(renewals) == 4


def test_one_of_this_machine_is_a_dead_processs(bucket: Bucket) -> None:
    left(bucket, machine="ours", seconds=1000)
    with bucket_lease(bucket, PATH, "ours", 5, pytest.fail) as lease:
        assert lease.still_ours()


def test_one_that_cannot_be_read_rests_as_long_as_our_own(bucket: Bucket) -> None:
    bucket.put(PATH, b"{")
    calls: list[None] = []
    with bucket_lease(bucket, PATH, "ours", 0.3, lambda: calls.append(None)) as lease:
        assert lease.still_ours()
    assert calls


def test_a_holder_that_rests_too_long_has_lost_it(bucket: Bucket) -> None:
    with bucket_lease(bucket, PATH, "ours", 1000, pytest.fail) as lease:
        assert lease.still_ours()
        left(bucket)
        assert not lease.still_ours()
        with bucket_lease(bucket, PATH, "theirs", 5, lambda: None) as other:
            assert other.still_ours()
            assert not lease.still_ours()
    # What is another's is not given back.
    with bucket_lease(bucket, PATH, "third", 5, pytest.fail):
        pass


def test_it_is_renewed_while_it_is_held(bucket: Bucket) -> None:
    renewed = threading.Event()
    with bucket_lease(bucket, PATH, "ours", 0.4, pytest.fail) as lease:
        before = bucket.get_many([PATH])
        for _ in range(600):
            if bucket.get_many([PATH]) != before:
                renewed.set()
                break
            threading.Event().wait(0.05)
        assert renewed.is_set()
        assert lease.still_ours()


def test_giving_it_back_leaves_it_to_the_next_at_once(bucket: Bucket) -> None:
    for machine in ("ours", "theirs", "ours"):
        with bucket_lease(bucket, PATH, machine, 1000, pytest.fail) as lease:
            assert lease.still_ours()


def test_a_lease_whose_record_is_gone_is_lost(server: Server) -> None:
    with bucket_lease(server, PATH, "ours", 1000, pytest.fail) as lease:
        assert lease.still_ours()
        server.delete([PATH])
        assert not lease.still_ours()


def test_a_holder_keeps_it_while_nobody_can_be_asked(server: Server) -> None:
    """Nothing can be published meanwhile, and it is renewed when the server is back."""
    with bucket_lease(server, PATH, "ours", 0.04, pytest.fail) as lease:
        server.is_away = True
        assert lease.still_ours()
        server.requested.clear()
        assert server.requested.wait(60), "it is tried again"
        server.answered.clear()
        server.is_away = False
        assert server.answered.wait(60)
        assert lease.still_ours()
    with bucket_lease(server, PATH, "theirs", 1000, pytest.fail):
        server.is_away = True


def test_what_was_lost_once_stays_lost(server: Server) -> None:
    with bucket_lease(server, PATH, "ours", 0.04, pytest.fail) as lease:
        other = encode(LeaseRecord(nonce="another", machine="theirs", seconds=1000), PATH)
        [before] = server.get_many([PATH])
        while not server.replace(PATH, before, other):
            [before] = server.get_many([PATH])
        lease._renewer.join(60)
        assert not lease._renewer.is_alive(), "nobody renews what is another's"
        assert isinstance(before, bytes)
        server.put(PATH, before)
        assert not lease.still_ours()


def test_a_lease_that_is_given_back_is_nobodys(server: Server) -> None:
    with bucket_lease(server, PATH, "ours", 1000, pytest.fail):
        pass
    record = decode(LeaseRecord, server.get_many([PATH])[0], PATH)
    assert isinstance(record, LeaseRecord)
    assert record.seconds == 0


def test_who_waits_may_give_up(server: Server) -> None:
    with bucket_lease(server, PATH, "theirs", 1000, pytest.fail) as lease:

        def waiting() -> None:
            raise TimeoutError

        with pytest.raises(TimeoutError), bucket_lease(server, PATH, "ours", 5, waiting):
            pass
        assert lease.still_ours()


def test_a_renewal_whose_answer_is_lost_loses_no_lease(server: Server) -> None:
    with bucket_lease(server, PATH, "ours", 0.04, pytest.fail) as lease:
        server.loses_answers = True
        assert server.lost.wait(60)
        server.loses_answers = False
        for _ in range(2):
            server.answered.clear()
            server.is_away = False
            assert server.answered.wait(60)
        assert lease.still_ours()
    record = decode(LeaseRecord, server.get_many([PATH])[0], PATH)
    assert isinstance(record, LeaseRecord)
    assert record.seconds == 0, "it is given back"
