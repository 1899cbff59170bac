"""Objects in an S3 bucket, through obstore, which is imported when the first of them is asked for.

Two connections are kept: one for small objects, which answer soon or not at all, and one for files.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from daintree.concurrency import side_by_side
from daintree.errors import StoreError, StoreForbidden, StoreUnavailable
from daintree.store.objects import create_object
from daintree.store.s3 import (
    CHECK_KEYS,
    DEFAULT_REGION,
    S3Access,
    access_error,
    boto_options,
    connection_options,
)

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import S3Store

_CODE = re.compile(r"(?:<Code>|\(code: )([A-Za-z0-9]+)")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
_STATUS = re.compile(r"status code: (\d{3})")
_FULL = frozenset({"XMinioStorageFull", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded"})
_LATER = frozenset({"SlowDown", "SlowDownRead", "SlowDownWrite", "RequestTimeout", "InternalError"})
_NO_CONNECTION = ("HTTP error", "error sending request", "timed out", "error decoding response")


def is_more_than_an_object(error: Exception) -> bool:
    """Whether more was not found than an object: the bucket, or anything at all that speaks S3 (but for HEAD, it has a code)."""
    text = str(error)
    return _first(_CODE, text) == "NoSuchBucket" or _is_foreign(text)


def bucket_error(url: str, access: S3Access, error: Exception) -> StoreError:
    """The StoreError for an error of obstore that happened to the store at `url`."""
    text = str(error)
    code, status = _first(_CODE, text), _first(_STATUS, text)
    fault = access_error(access, url, code, text)
    if fault is not None:
        return fault
    if code == "NoSuchBucket":
        bucket = url.split("/")[2]
        return StoreError(
            f"there is no bucket {bucket} at {access.server}",
            hint=f"`doit services --make-bucket` makes it, or `mc mb ALIAS/{bucket}`",
        )
    if status == "404" and _is_foreign(text):
        return StoreError(
            f"{access.server} does not speak S3: it knows nothing of {url}",
            hint="MINIO_ENDPOINT is the address of the S3 server itself, not of its console",
        )
    if code == "RequestTimeTooSkewed":
        return StoreError(
            f"{access.server} refuses this machine's requests because of its clock: it is too far from the server's",
            hint="set the clock, for example with `timedatectl set-ntp true`",
        )
    if status == "401":
        return StoreError(f"{access.server} does not accept the key ({code})", hint=CHECK_KEYS)
    if code == "AccessDenied" or status == "403":
        return StoreForbidden(
            f"the key may not do this in {url} ({code or 'access denied'})",
            hint="ask whoever manages the bucket for the right, or use another key",
        )
    if code in _FULL or status == "507":
        return StoreError(
            f"the disk behind {url} is full ({code})", hint="free some space on the server"
        )
    if code in _LATER or status[:1] == "5" or status == "429":
        return _unavailable(url, f"{access.server} answers {code or status}")
    if not code and not status and any(sign in text for sign in _NO_CONNECTION):
        return _unavailable(url, f"{access.server} cannot be reached")
    return StoreError(f"the artifact store {url} failed: {_words(text, code, status)}")


def _is_foreign(text: str) -> bool:
    """Whether what was not found was so in other words than S3's."""
    return "<Code>" not in text and "performing HEAD" not in text


def _unavailable(url: str, what: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"the artifact store {url} is not to be had: {what}",
        hint="`doit services` checks what is reachable; with DAINTREE_WHEN_UNAVAILABLE=local a run goes on with the cache alone",
    )


def _words(text: str, code: str, status: str) -> str:
    """What is left to say of an error: the server's own words, else the first line, without a dump of structures."""
    said = _first(_MESSAGE, text)
    if code or status:
        return " ".join(part for part in (f"the server answers {code or status}", said) if part)
    return text.partition("\n")[0]


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""


MORE_SECONDS = 15.0
REST_SECONDS = 10.0


class Patience:
    """What requests to one server tell each other. Any number of threads may share it.

    The first that is given up has had its full time. Until one is answered, the next have little; and after `MORE_SECONDS` of
    that only one in `REST_SECONDS` is sent. So a command that asks many times does not wait many times, and one that
    computes for hours finds a server that is back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._error: StoreUnavailable | None = None
        self._first = self._last = 0.0

    @property
    def is_short(self) -> bool:
        """Whether the last that is known of the server is that it did not answer."""
        return self._error is not None

    def check(self) -> None:
        """Call it before a request. Raises StoreUnavailable, as the last one did, where it is too soon for another."""
        with self._lock:
            if self._error is None:
                return
            now = self._clock()
            if now - self._first >= MORE_SECONDS and now - self._last < REST_SECONDS:
                raise StoreUnavailable(self._error.message, hint=self._error.hint)

    def answered(self) -> None:
        """The server has answered a request, be it with a no."""
        with self._lock:
            self._error = None

    def given_up(self, error: StoreUnavailable) -> None:
        """A request was given up."""
        with self._lock:
            now = self._clock()
            if self._error is None:
                self._first = now
            self._error, self._last = error, now


SCHEME = "s3://"
KEYS_ELSEWHERE = "keys come from MINIO_ACCESS_KEY and MINIO_SECRET_KEY, or from AWS's own settings"
# Amazon's rules for the names of buckets, which other servers keep as well.
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
AT_ONCE = 32
# An object up to this size is read and written by one request; a larger one by several.
LARGE_BYTES = 8 << 20

# Seconds. A small request is given up after `answer`, and no attempt begins later than `retry` after the first; of a
# file each read and each part has its own time. `BRIEF` is for a server that has just not answered.
SMALL = {"answer": 15, "retry": 30}
BRIEF = {"answer": 5, "retry": 5}
LARGE = {"answer": 120, "retry": 120}
CONNECT_SECONDS = 5
READ_SECONDS = 20
MOST_RETRIES = 6


def is_plain(name: str, prefix: str) -> bool:
    """Whether these are a bucket's name and a prefix alone; what else stands there may be a password or a signature.

    So whoever refuses them does not repeat them.
    """
    return _BUCKET_NAME.fullmatch(name) is not None and "?" not in prefix


class Bucket:
    """The objects below a prefix of a bucket; `Objects`, and what a store of whole files needs beyond that.

    Every method raises StoreError: StoreUnavailable for a server that cannot be reached, StoreForbidden for what the
    key may not do.
    """

    def __init__(self, url: str, access: S3Access) -> None:
        """`url` is s3://bucket[/prefix]. Raises StoreError for one of another form; nothing is asked yet."""
        name, _, prefix = url.removeprefix(SCHEME).partition("/")
        self.name, self.prefix = name, prefix.strip("/")
        strange = {"", ".", ".."} & set(self.prefix.split("/")) if self.prefix else set()
        if strange or not is_plain(name, prefix):
            raise StoreError(
                "the URL of a bucket has another form than s3://bucket/prefix", hint=KEYS_ELSEWHERE
            )
        self.access = access
        self._patience = Patience()
        self._connections: dict[str, S3Store] = {}

    @property
    def url(self) -> str:
        """s3://bucket[/prefix]."""
        return f"{SCHEME}{self.name}" + (f"/{self.prefix}" if self.prefix else "")

    @property
    def small(self) -> S3Store:
        """The connection for small objects. Raises StoreUnavailable where the server has not answered for long."""
        self._patience.check()
        if self._patience.is_short:
            return self._connection("brief", BRIEF)
        return self._connection("small", SMALL)

    @property
    def large(self) -> S3Store:
        """The connection for files. Raises as `small` does."""
        self._patience.check()
        return self._connection("large", LARGE)

    def get(self, paths: Sequence[str]) -> list[bytes | None]:
        """As `Objects.get`."""
        return side_by_side(self._read, paths, AT_ONCE)

    def create(self, path: str, content: bytes) -> bool:
        """As `Objects.create`; when the answer is lost or no, what stands there tells whether it was ours.

        A no may be to a second try: the first was done, and answered by an error.
        """
        try:
            with self.answering():
                return create_object(self.small, path, content) or self._read(path) == content
        except StoreUnavailable:
            standing = self._read(path)
            if standing is None:
                raise
            return standing == content

    def put(self, path: str, content: bytes) -> None:
        """As `Objects.put`."""
        import obstore

        with self.answering():
            obstore.put(self.small, path, content, use_multipart=False)

    def replace(self, path: str, old: bytes, new: bytes) -> bool:
        """As `Objects.replace`: If-Match with the ETag of what was read to be `old`."""
        import obstore
        from obstore.exceptions import PreconditionError

        try:
            with self.answering():
                found = obstore.get(self.small, path)
                if bytes(found.bytes()) != old:
                    return False
                obstore.put(self.small, path, new, mode={"e_tag": found.meta["e_tag"]})
                return True
        except FileNotFoundError:
            return False
        except PreconditionError:
            # As with `create`.
            return self._read(path) == new
        except StoreUnavailable:
            if self._read(path) != new:
                raise
            return True

    def list(self, prefix: str) -> list[str]:
        """As `Objects.list`."""
        return list(self.sizes(prefix))

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """The bytes of each object in the directory `prefix` and below, by path."""
        return {entry["path"]: entry["size"] for entry in self.entries(prefix)}

    def entries(self, prefix: str = "") -> Sequence[ObjectMeta]:
        """What a listing says of the objects in the directory `prefix` and below; one request per 1,000 of them."""
        import obstore

        with self.answering():
            return obstore.list(self.small, prefix or None).collect()

    def entry(self, path: str) -> Sequence[ObjectMeta]:
        """What the server says of the object of this very key; nothing where there is none."""
        import obstore

        try:
            with self.answering():
                return [obstore.head(self.small, path)]
        except FileNotFoundError:
            return []

    def delete(self, paths: Sequence[str]) -> None:
        """Remove objects; those that are not there do not matter."""
        import obstore

        with self.answering():
            if paths:
                obstore.delete(self.small, list(paths))

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Raise StoreErrors for obstore's errors in the block; FileNotFoundError and failed conditions pass."""
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        try:
            yield
        except (AlreadyExistsError, PreconditionError):
            self._patience.answered()
            raise
        except FileNotFoundError as error:
            self._patience.answered()
            if is_more_than_an_object(error):
                raise bucket_error(self.url, self.access, error) from None
            raise
        except BaseError as error:
            told = bucket_error(self.url, self.access, error)
            if isinstance(told, StoreUnavailable):
                self._patience.given_up(told)
            raise told from None
        else:
            self._patience.answered()

    def _read(self, path: str) -> bytes | None:
        import obstore

        try:
            with self.answering():
                return bytes(obstore.get(self.small, path).bytes())
        except FileNotFoundError:
            return None

    def _connection(self, name: str, seconds: dict[str, int]) -> S3Store:
        if name not in self._connections:
            self._connections[name] = connect(self.name, self.prefix, self.access, **seconds)
        return self._connections[name]


def connect(bucket: str, prefix: str, access: S3Access, *, answer: int, retry: int) -> S3Store:
    """An obstore connection to the objects below a prefix of a bucket; times in seconds.

    Raises StoreError where there is no key for it.
    """
    from datetime import timedelta

    from obstore.store import S3Store

    options = connection_options(access, bucket)
    return S3Store(
        bucket,
        prefix=prefix or None,
        config=options["config"],
        credential_provider=options.get("credential_provider"),
        client_options={  # type: ignore[arg-type]
            **options["client_options"],
            "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
            "read_timeout": timedelta(seconds=READ_SECONDS),
            "timeout": timedelta(seconds=answer),
        },
        retry_config={
            "max_retries": MOST_RETRIES,
            "retry_timeout": timedelta(seconds=retry),
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=3),
                "base": 2,
            },
        },
    )


_THERE = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


def make_bucket(bucket: Bucket) -> None:
    """Make the bucket; nothing where it is there already. Raises StoreError."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    access = bucket.access
    client = boto3.client("s3", **boto_options(access))
    place = {"LocationConstraint": access.region}
    more = {} if access.region == DEFAULT_REGION else {"CreateBucketConfiguration": place}
    try:
        client.create_bucket(Bucket=bucket.name, **more)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        if code not in _THERE:
            raise access_error(access, bucket.url, code, str(error)) or StoreError(
                f"{access.server} does not make the bucket {bucket.name} ({code})", hint=CHECK_KEYS
            ) from None
    except (BotoCoreError, ValueError) as error:
        raise access_error(access, bucket.url, "", str(error)) or StoreError(
            f"the bucket {bucket.name} cannot be made: {access.server} cannot be reached ({type(error).__name__})",
            hint="check MINIO_ENDPOINT",
        ) from None
