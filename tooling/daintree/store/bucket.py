"""A bucket as a backend, through obstore, which is imported when the first object is asked for; and its one retry policy.

Every request, with the body of its answer, is tried up to MOST_RETRIES times more and no longer than its total time; then the error says what
the server did, and how often. A file has this time for each ENOUGH_BYTES of it, so the time for a whole file is bounded, too.
"""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from daintree.concurrency import side_by_side
from daintree.errors import StoreError, StoreForbidden, StoreUnavailable
from daintree.store import s3
from daintree.store.backend import MAX_RECORD_BYTES, SMALL_RECORD_BYTES, Content, Entry, Unreadable

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import S3Store

Result = TypeVar("Result")

MORE_SECONDS = 15.0
REST_SECONDS = 10.0


class CircuitBreaker:
    """Circuit breaker shared by all requests to one server. Any number of threads may share it.

    The first request that is given up has had its full time. Until one is answered, the next have little; and after `more_seconds` of
    that only one in `REST_SECONDS` is sent. So a command that asks many times does not wait many times, and one that
    computes for hours finds a server that is back.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, more_seconds: float = MORE_SECONDS
    ) -> None:
        self._clock, self._more_seconds, self._lock = clock, more_seconds, threading.Lock()
        self._error: StoreUnavailable | None = None
        self._first = self._last = 0.0

    @property
    def is_open(self) -> bool:
        """True while the last that is known of the server is that it did not answer."""
        return self._error is not None

    def check(self) -> None:
        """Call it before a request. Raises StoreUnavailable, as the last one did, where it is too soon for another."""
        with self._lock:
            if self._error is None:
                return
            now = self._clock()
            if now - self._first >= self._more_seconds and now - self._last < REST_SECONDS:
                raise StoreUnavailable(self._error.message, hint=self._error.hint)

    def answered(self) -> None:
        """Note that the server has answered a request, be it with a no."""
        with self._lock:
            self._error = None

    def given_up(self, error: StoreUnavailable) -> None:
        """Note that a request was given up."""
        with self._lock:
            now = self._clock()
            if self._error is None:
                self._first = now
            self._error, self._last = error, now


# At the end of the key of an empty object by which Hadoop shows a directory.
FOLDER_MARK = "_$folder$"
# A name in the bucket that only shows what its server does.
PROBE = "_probe"
AT_ONCE = 32
# An object up to this size is read and written by one request; a larger one by several.
LARGE_BYTES = 8 << 20
PAGE = 1000

# Seconds. An attempt at a small request is given up after `answer`, or `read` without a byte, and none begins later than `total` after the
# first; of a file each read and each part has its own time. `BRIEF` is for a server that has just not answered, and whoever waits for a page.
SMALL = {"read": 20, "answer": 15, "total": 30}
BRIEF = {"read": 5, "answer": 15, "total": 5}
LARGE = {"read": 20, "answer": 120, "total": 120}
CONNECT_SECONDS = 5
MOST_RETRIES = 6
ENOUGH_BYTES = 8 << 20
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 3.0

_CODE = re.compile(r"(?:<Code>|\(code: )([A-Za-z0-9]+)")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
_STATUS = re.compile(r"status code: (\d{3})")
_FULL = frozenset({"XMinioStorageFull", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded"})
_LATER = frozenset({"SlowDown", "SlowDownRead", "SlowDownWrite", "RequestTimeout", "InternalError"})
_BODY_ERRORS = ("response body error", "error decoding response body", "end of file before message")
_CONNECTION_ERRORS = ("HTTP error", "error sending request", "timed out", *_BODY_ERRORS)


class Bucket:
    """The `Backend` below a prefix of a bucket.

    Every method raises StoreError: StoreUnavailable for a server that cannot be reached, StoreForbidden for what the
    key may not do.
    """

    def __init__(self, url: str, access: s3.S3Access, *, brief: bool = False) -> None:
        """`url` is s3://bucket[/prefix]; with `brief` a server that is away is not waited for. Raises StoreError for one of another form; nothing is asked yet."""
        name, _, prefix = url.removeprefix(s3.SCHEME).partition("/")
        self.name, self.prefix = name, prefix.strip("/")
        strange = {"", ".", ".."} & set(self.prefix.split("/")) if self.prefix else set()
        if strange or not s3.is_plain(name, prefix):
            raise StoreError(
                "the URL of a bucket has another form than s3://bucket/prefix", hint=s3.NO_KEYS_HERE
            )
        self.access, self._brief = access, brief
        self._breaker = CircuitBreaker(more_seconds=0 if brief else MORE_SECONDS)
        self._connections: dict[str, S3Store] = {}

    @property
    def url(self) -> str:
        """s3://bucket[/prefix]."""
        return f"{s3.SCHEME}{self.name}" + (f"/{self.prefix}" if self.prefix else "")

    @property
    def address(self) -> s3.ObjectAddress:
        """Address of what lies below the prefix."""
        return s3.object_address(self.url, self.access.endpoint, self.access.region)

    def prove(self) -> None:
        """Have the server refuse to create an object that exists, and to replace one that is another. Raises StoreError where it does not."""
        import obstore
        from obstore.exceptions import PreconditionError

        # Never the same: a server that ignored conditions may have left its own there.
        content = os.urandom(8)
        self.create(PROBE, b"1")
        if self.create(PROBE, content):
            raise self._careless("If-None-Match")
        try:
            self.request(lambda s: obstore.put(s, PROBE, content, mode={"e_tag": '"another"'}))
        except PreconditionError:
            return
        raise self._careless("If-Match")

    def _careless(self, condition: str) -> StoreError:
        return StoreError(
            f"{self.access.server} ignores {condition}: two that publish at once would overwrite each other",
            hint="use a server that honours conditional writes (MinIO, AWS S3), or a key that may only read",
        )

    def key(self, path: str) -> str:
        """The key in the bucket of an object of the store."""
        return f"{self.prefix}/{path}" if self.prefix else path

    def request(
        self,
        action: Callable[[S3Store], Result],
        *,
        file: bool = False,
        retries: int = MOST_RETRIES,
    ) -> Result:
        """The result of `action`, tried again while the server is not to be had: the one retry policy.

        `file` gives it the time of a file. FileNotFoundError of an object and failed conditions pass. Raises StoreError for all
        other errors of obstore, StoreUnavailable with the number of attempts.
        """
        self._breaker.check()
        name, seconds = "large" if file else "small", LARGE if file else SMALL
        if (self._brief or self._breaker.is_open) and not file:
            name, seconds = "brief", BRIEF
        deadline = time.monotonic() + seconds["total"]
        pause, attempt = FIRST_PAUSE_SECONDS, 1
        while True:
            try:
                with self._translated():
                    result = action(self._connection(name, seconds))
                self._breaker.answered()
                return result
            except StoreUnavailable as error:
                if attempt > retries or time.monotonic() + pause >= deadline:
                    times = f", {attempt} times" if attempt > 1 else ""
                    final = StoreUnavailable(f"{error.message}{times}", hint=error.hint)
                    self._breaker.given_up(final)
                    raise final from None
            attempt += 1
            time.sleep(random.uniform(pause / 2, pause))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def get_many(self, paths: Sequence[str], limit: int = MAX_RECORD_BYTES) -> list[Content]:
        """On AT_ONCE threads."""
        return side_by_side(lambda path: self._read(path, limit)[0], paths, AT_ONCE)

    def create(self, path: str, content: bytes) -> bool:
        """By If-None-Match; what stands there tells whether it is ours when the answer is lost or no.

        A no may be to a second try: the first was done, and answered by an error.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError

        try:
            self.request(lambda store: obstore.put(store, path, content, mode="create"))
        except AlreadyExistsError:
            return self._read(path)[0] == content
        except StoreUnavailable:
            current = self._read(path)[0]
            if current is None:
                raise
            return current == content
        return True

    def put(self, path: str, content: bytes) -> None:
        import obstore

        self.request(lambda store: obstore.put(store, path, content, use_multipart=False))

    def replace(self, path: str, old: Content, new: bytes) -> bool:
        """By If-Match with the ETag of what was read to be `old`."""
        import obstore
        from obstore.exceptions import PreconditionError

        current, tag = self._read(path, SMALL_RECORD_BYTES)
        if old is None or current != old:
            return False
        try:
            self.request(lambda store: obstore.put(store, path, new, mode={"e_tag": tag}))
        except FileNotFoundError:
            return False
        except PreconditionError:
            # As with `create`.
            return self._read(path)[0] == new
        except StoreUnavailable:
            if self._read(path)[0] != new:
                raise
        return True

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """By one request for each 1,000 objects; after a fault it goes on where it was."""
        for meta in self._metas(prefix):
            yield Entry(meta["path"], meta["size"], meta["last_modified"].timestamp())

    def entries(self, prefix: str = "") -> Sequence[ObjectMeta]:
        """The objects of the directory `prefix` and below, with ETags, without markers of directories."""
        listed = {e["path"]: e for e in sorted(self._metas(prefix), key=lambda e: e["size"])}
        markers = self.markers({path: meta["size"] for path, meta in listed.items()})
        return [meta for path, meta in listed.items() if path not in markers]

    def markers(self, sizes: Mapping[str, int]) -> set[str]:
        """The paths, of those listed with these sizes, that only show a directory, as consoles and Hadoop make them."""
        parents = {path[:at] for path in sizes for at, sign in enumerate(path) if sign == "/"}
        empty = {path for path, size in sizes.items() if not size}
        markers = {path for path in empty if path in parents or path.endswith(FOLDER_MARK)}
        # obstore drops the slash at the end of a marker's key. An object of that very key answers; a marker does not.
        candidates = sorted((empty | parents & sizes.keys()) - markers)
        answers = side_by_side(self.entry, candidates, AT_ONCE)
        return markers | {p for p, entry in zip(candidates, answers, strict=True) if not entry}

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """The bytes of each object in the directory `prefix` and below, by path; a marker's may be an object's, too."""
        return dict(sorted(((e.path, e.size) for e in self.list(prefix)), key=lambda e: e[1]))

    def children(self, prefix: str) -> Sequence[str]:
        import obstore

        listing = self.request(lambda store: obstore.list_with_delimiter(store, prefix or None))
        return sorted(path.rstrip("/").rpartition("/")[2] for path in listing["common_prefixes"])

    def entry(self, path: str) -> Sequence[ObjectMeta]:
        """The listing of the object of this very key; nothing where there is none."""
        import obstore

        try:
            return [self.request(lambda store: obstore.head(store, path))]
        except FileNotFoundError:
            return []

    def delete(self, paths: Sequence[str]) -> None:
        import obstore

        if paths:
            self.request(lambda store: obstore.delete(store, list(paths)))

    def delete_below(self, prefix: str) -> None:
        self.delete([entry.path for entry in self.list(prefix)])

    def stream(
        self,
        path: str,
        start: int,
        end: int,
        tag: str | None,
        take: Callable[[memoryview], None],
        piece: int,
    ) -> None:
        """Give `take` the bytes of an object from `start` to `end`, piece by piece, each once; after a fault it goes on where it was.

        Only of the object with this ETag. Attempts that together brought ENOUGH_BYTES are followed by others. Fewer bytes come where the
        object is shorter. Raises FileNotFoundError, obstore's PreconditionError, StoreError.
        """
        import obstore

        at = start

        def attempt(store: S3Store) -> None:
            nonlocal at
            options: GetOptions = {"range": (at, end)}
            if tag:
                options["if_match"] = tag
            for content in obstore.get(store, path, options=options).stream(min_chunk_size=piece):
                take(memoryview(content))
                at += len(content)

        while True:
            began = at
            try:
                return self.request(attempt, file=True)
            except StoreUnavailable as error:
                if at - began < ENOUGH_BYTES:
                    raise StoreUnavailable(
                        f"{error.message}, after {at} of {end} bytes", hint=error.hint
                    ) from None

    def _metas(self, prefix: str) -> Iterator[ObjectMeta]:
        import obstore

        pages: Any = None
        last: str | None = None

        def take(store: S3Store) -> Sequence[ObjectMeta]:
            nonlocal pages
            try:
                if pages is None:
                    pages = obstore.list(store, prefix or None, offset=last, chunk_size=PAGE)
                return next(pages, ())
            except BaseException:
                pages = None
                raise

        while page := self.request(take):
            yield from page
            last = page[-1]["path"]

    def _read(self, path: str, limit: int = MAX_RECORD_BYTES) -> tuple[Content, str | None]:
        """The content of an object, and its ETag."""
        import obstore

        progress = ""

        def read(store: S3Store) -> tuple[Content, str | None]:
            nonlocal progress
            response = obstore.get(store, path)
            size, tag = response.meta["size"], response.meta["e_tag"]
            if size > limit:
                return Unreadable("irregular", f"is {size} bytes large, which no record is"), tag
            content = bytearray()
            progress = f", after 0 of {size} bytes"
            for piece in response.stream(min_chunk_size=1):
                content += memoryview(piece)
                progress = f", after {len(content)} of {size} bytes"
            return bytes(content), tag

        try:
            return self.request(read)
        except FileNotFoundError:
            return None, None
        except StoreUnavailable as error:
            raise StoreUnavailable(f"{error.message}{progress}", hint=error.hint) from None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise StoreErrors for obstore's errors in the block; FileNotFoundError and failed conditions pass."""
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        try:
            yield
        except (AlreadyExistsError, PreconditionError):
            self._breaker.answered()
            raise
        except FileNotFoundError as error:
            self._breaker.answered()
            if is_more_than_an_object(error):
                raise bucket_error(self.url, self.access, error) from None
            raise
        except BaseError as error:
            raise bucket_error(self.url, self.access, error) from None

    def _connection(self, name: str, seconds: dict[str, int]) -> S3Store:
        """The connection of this name, made when it is first used. Raises StoreError where there is no key for it."""
        if name in self._connections:
            return self._connections[name]
        from datetime import timedelta

        from obstore.store import S3Store

        options = s3.connection_options(self.access, self.name)
        self._connections[name] = S3Store(
            self.name,
            prefix=self.prefix or None,
            config=options["config"],
            credential_provider=options.get("credential_provider"),
            client_options={  # type: ignore[arg-type]
                **options["client_options"],
                "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
                "read_timeout": timedelta(seconds=seconds["read"]),
                "timeout": timedelta(seconds=seconds["answer"]),
            },
            retry_config={
                # The parts of an upload are obstore's to repeat: nobody else sees them.
                "max_retries": MOST_RETRIES if name == "large" else 0,
                "retry_timeout": timedelta(seconds=seconds["total"]),
                "backoff": {
                    "init_backoff": timedelta(seconds=FIRST_PAUSE_SECONDS),
                    "max_backoff": timedelta(seconds=LONGEST_PAUSE_SECONDS),
                    "base": 2,
                },
            },
        )
        return self._connections[name]


def is_more_than_an_object(error: Exception) -> bool:
    """True where more was not found than an object: the bucket, or anything at all that speaks S3 (but for HEAD, it has a code)."""
    text = str(error)
    not_s3 = "<Code>" not in text and "performing HEAD" not in text
    return _first(_CODE, text) == "NoSuchBucket" or not_s3


def bucket_error(url: str, access: s3.S3Access, error: Exception) -> StoreError:
    """The StoreError for an error of obstore that happened to the store at `url`."""
    text = str(error)
    code, status = _first(_CODE, text), _first(_STATUS, text)
    fault = s3.access_error(access, url, code, text)
    if fault is not None:
        return fault
    if code == "NoSuchBucket":
        bucket = url.split("/")[2]
        return StoreError(
            f"there is no bucket {bucket} at {access.server}",
            hint=f"`doit services --make-bucket` makes it, or `mc mb ALIAS/{bucket}`",
        )
    if status == "404" and is_more_than_an_object(error):
        return StoreError(
            f"{access.server} does not speak S3: it knows nothing of {url}",
            hint="MINIO_ENDPOINT is the address of the S3 server itself, not of its console",
        )
    if status == "401":
        return StoreError(f"{access.server} does not accept the key ({code})", hint=s3.CHECK_KEYS)
    if code == "AccessDenied" or status == "403":
        return StoreForbidden(
            f"the key may not {s3.refused_action(text)} {url} ({code or 'access denied'})",
            hint="ask whoever manages the bucket for the right, or use another key",
        )
    if code in _FULL or status == "507":
        return StoreError(
            f"the disk behind {url} is full ({code})", hint="free some space on the server"
        )
    if code in _LATER or status[:1] == "5" or status == "429":
        return _unavailable(url, f"{access.server} answers {code or status}")
    if not code and not status and any(sign in text for sign in _CONNECTION_ERRORS):
        return _unavailable(url, f"{access.server} {_connection_problem(text)}")
    return StoreError(
        f"the artifact store {url} failed: {_words(text, code, status)}",
        hint="ask whoever runs the server, with this message",
    )


def _connection_problem(text: str) -> str:
    """Problem of a connection: a server that was reached is never said to be out of reach."""
    timed_out = "kind: Timeout" in text or "timed out" in text
    if any(sign in text for sign in _BODY_ERRORS):
        return "stops in the middle of an answer" if timed_out else "cuts an answer off"
    if re.search(r"kind: Connect\b", text):
        return "cannot be reached"
    return "does not answer" if timed_out else "breaks off the connection"


def _unavailable(url: str, problem: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"the artifact store {url} is not to be had: {problem}",
        hint="`doit services` checks what is reachable; with DAINTREE_WHEN_UNAVAILABLE=local a run goes on with the cache alone",
    )


def _words(text: str, code: str, status: str) -> str:
    """The server's own words of an error, else the first line, without a dump of structures."""
    message = _first(_MESSAGE, text)
    if code or status:
        return " ".join(part for part in (f"the server answers {code or status}", message) if part)
    return text.partition("\n")[0]


def _first(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1] if match else ""
