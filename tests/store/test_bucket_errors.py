"""Every answer of a server, in our words."""

from __future__ import annotations

import pytest

from daintree.errors import StoreError, StoreForbidden, StoreUnavailable
from daintree.store.bucket import bucket_error
from daintree.store.s3 import S3Access

ACCESS = S3Access(
    endpoint="http://minio:9000", region="us-east-1", access_key="a", secret_key="secret"
)
URL = "s3://ml-artifacts/team"


def answer(status: str, code: str, text: str = "said") -> Exception:
    """An error as obstore words it."""
    body = f'<?xml version="1.0"?>\n<Error><Code>{code}</Code><Message>{text}</Message></Error>'
    return RuntimeError(
        f"Generic S3 error: Error performing GET http://minio:9000/x in 1ms - Server returned non-2xx status code: {status}: {body}"
    )


@pytest.mark.parametrize(
    ("error", "kind", "message", "hint"),
    [
        (
            answer("404 Not Found", "NoSuchBucket"),
            StoreError,
            "there is no bucket ml-artifacts at http://minio:9000",
            "`doit services --make-bucket` makes it",
        ),
        (
            answer("403 Forbidden", "RequestTimeTooSkewed"),
            StoreError,
            "because of its clock",
            "set the clock",
        ),
        (
            answer("403 Forbidden", "InvalidAccessKeyId"),
            StoreError,
            "http://minio:9000 does not accept the key (InvalidAccessKeyId)",
            "check MINIO_ACCESS_KEY and MINIO_SECRET_KEY",
        ),
        (
            answer("403 Forbidden", "AccessDenied"),
            StoreForbidden,
            "the key may not read in s3://ml-artifacts/team (AccessDenied)",
            "ask whoever manages the bucket",
        ),
        (
            answer("507 Insufficient Storage", "XMinioStorageFull"),
            StoreError,
            "the disk behind s3://ml-artifacts/team is full",
            "free some space",
        ),
        (
            answer("503 Service Unavailable", "SlowDown"),
            StoreUnavailable,
            "s3://ml-artifacts/team is not to be had: http://minio:9000 answers SlowDown",
            "`doit services`",
        ),
        (
            RuntimeError(
                "Generic S3 error: … - HTTP error: error sending request\n\nDebug … kind: Connect,"
            ),
            StoreUnavailable,
            "http://minio:9000 cannot be reached",
            "DAINTREE_WHEN_UNAVAILABLE=local",
        ),
        (
            answer("400 Bad Request", "InvalidBucketName", "The bucket is not valid."),
            StoreError,
            "failed: the server answers InvalidBucketName The bucket is not valid.",
            "ask whoever runs the server, with this message",
        ),
        (
            RuntimeError("Generic S3 error: DeleteObjects request failed: (code: AccessDenied)"),
            StoreForbidden,
            "the key may not delete in s3://ml-artifacts/team (AccessDenied)",
            "ask whoever manages the bucket",
        ),
        (
            RuntimeError("something else\nDebug: dump"),
            StoreError,
            "failed: something else",
            "ask whoever",
        ),
    ],
)
def test_it_says_what_where_and_what_to_do(
    error: Exception, kind: type[StoreError], message: str, hint: str
) -> None:
    translated = bucket_error(URL, ACCESS, error)
    assert type(translated) is kind
    assert message in translated.message
    assert hint in translated.hint
    assert "\n" not in translated.message
    assert "secret" not in translated.message + translated.hint
