"""A machine that publishes, replaces, retires, damages and looks up stage keys over a real directory, beside a model of what must stand."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from daintree.store.backend import Content
from daintree.store.directory import Directory
from daintree.store.index import Records
from daintree.store.layout import index_path
from daintree.store.records import IndexRecord
from tests.contract.runs import key_of, record_of

KEYS = [key_of(number) for number in range(3)]
keys = st.sampled_from(KEYS)
records = st.integers(0, 5).map(lambda number: record_of(f"run-{number}"))
NEWER = b'{"schema": 99}'


class IndexMachine(RuleBasedStateMachine):
    """`standing` holds the record of each key; `blocked` the keys where a newer version's record stands."""

    def __init__(self) -> None:
        super().__init__()
        self.root = tempfile.mkdtemp()
        self.backend = Directory(Path(self.root))
        self.winners: dict[str, IndexRecord] = {}
        self.blocked: set[str] = set()

    @property
    def index(self) -> Records:
        """The records as a new process reads them."""
        return Records(self.backend, lambda line: None)

    @rule(key=keys, record=records)
    def publish(self, key: str, record: IndexRecord) -> None:
        """The first one stands."""
        published = self.index.publish_index(key, record, None)
        if key in self.blocked:
            assert published == record
        else:
            assert published == self.winners.setdefault(key, record)

    @rule(key=keys, old=records, new=records)
    def replace(self, key: str, old: IndexRecord, new: IndexRecord) -> None:
        """Exactly the record that was read makes way."""
        published = self.index.publish_index(key, new, old)
        if key in self.blocked:
            assert published == new
        else:
            if self.winners.get(key, old) == old:
                self.winners[key] = new
            assert published == self.winners[key]

    @rule(key=keys, record=records)
    def retire(self, key: str, record: IndexRecord) -> None:
        """Exactly the record that was read is retired."""
        retired = self.index.retire(key, record, when="2026-01-01", by="gc")
        assert retired == (self.winners.get(key) == record)
        if retired:
            del self.winners[key]

    @rule(key=keys, place=st.integers(0, 200), bit=st.integers(0, 7))
    def flip(self, key: str, place: int, bit: int) -> None:
        """A flipped bit makes a miss."""
        [content] = self._content(key)
        if isinstance(content, bytes) and key in self.winners:
            flipped = bytearray(content)
            flipped[place % (len(content) - 1)] ^= 1 << bit
            self.backend.put(index_path(key), bytes(flipped))
            del self.winners[key]

    @rule(key=keys, content=st.sampled_from([b"", b"{", b'{"schema":1}', NEWER]))
    def overwrite(self, key: str, content: bytes) -> None:
        """Another program writes there."""
        self.backend.put(index_path(key), content)
        self.winners.pop(key, None)
        self.blocked = self.blocked | {key} if content == NEWER else self.blocked - {key}

    @rule(one=keys, other=keys)
    def copy(self, one: str, other: str) -> None:
        """A record that is copied to another key is nobody's there."""
        [content] = self._content(one)
        if one != other and isinstance(content, bytes) and one in self.winners:
            self.backend.put(index_path(other), content)
            self.winners.pop(other, None)
            self.blocked.discard(other)

    @invariant()
    def lookup_finds_what_stands(self) -> None:
        """Neither more nor less; and nothing of a newer version was touched."""
        assert self.index.lookup(KEYS) == [self.winners.get(key) for key in KEYS]
        assert all(self._content(key) == [NEWER] for key in self.blocked)

    def teardown(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self.root)

    def _content(self, key: str) -> list[Content]:
        return self.backend.get_many([index_path(key)])


TestIndexMachine = IndexMachine.TestCase
TestIndexMachine.settings = settings(max_examples=10, stateful_step_count=20, deadline=None)
