"""Errors of obstore and of S3 servers as StoreErrors, with a hint for each that somebody can do something about."""

from __future__ import annotations

import re

from daintree.errors import StoreError, StoreForbidden, StoreUnavailable
from daintree.store.s3 import CHECK_KEYS, S3Access, access_error

_CODE = re.compile(r"(?:<Code>|\(code: )([A-Za-z0-9]+)")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
_STATUS = re.compile(r"status code: (\d{3})")
_FULL = frozenset({"XMinioStorageFull", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded"})
_LATER = frozenset({"SlowDown", "SlowDownRead", "SlowDownWrite", "RequestTimeout", "InternalError"})
_BODY_ERRORS = ("response body error", "error decoding response body", "end of file before message")
_CONNECTION_ERRORS = ("HTTP error", "error sending request", "timed out", *_BODY_ERRORS)


def is_more_than_an_object(error: Exception) -> bool:
    """True where more was not found than an object: the bucket, or anything at all that speaks S3 (but for HEAD, it has a code)."""
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


def _is_foreign(text: str) -> bool:
    """True where the words of a refusal are not S3's."""
    return "<Code>" not in text and "performing HEAD" not in text


def _unavailable(url: str, problem: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"the artifact store {url} is not to be had: {problem}",
        hint="`doit services` checks what is reachable; with DAINTREE_WHEN_UNAVAILABLE=local a run goes on with the cache alone",
    )


def _words(text: str, code: str, status: str) -> str:
    """The server's own words of an error, else the first line, without a dump of structures."""
    said = _first(_MESSAGE, text)
    if code or status:
        return " ".join(part for part in (f"the server answers {code or status}", said) if part)
    return text.partition("\n")[0]


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""
