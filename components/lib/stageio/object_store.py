"""Inputs and outputs in an S3 bucket: `s3://bucket/prefix`, through boto3.

The store is MinIO at MINIO_ENDPOINT with MINIO_ACCESS_KEY and MINIO_SECRET_KEY; whatever of these
is not set is found the usual AWS way (environment, profile, role of the machine). The authority
that signed the server's certificate may stand in AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE or
SSL_CERT_FILE. boto3 is imported only here, and only when such a path is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .errors import StageError

SCHEME = "s3://"

_TRANSFERS_AT_ONCE = 8
_ENDPOINTS = ("MINIO_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_FOLDER_MARK = "_$folder$"
_DENIED = {
    "401",
    "403",
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "AllAccessDisabled",
}
_OTHER_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "301"}
_CREDENTIALS_HINT = (
    "check MINIO_ACCESS_KEY and MINIO_SECRET_KEY, or the AWS credentials, and what they may do"
)


@dataclass(frozen=True)
class Location:
    """A bucket and a prefix in it, without slashes at its ends; "" is the whole bucket."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, text: str) -> Location:
        """The location `s3://bucket/prefix`. Raises StageError when there is no bucket in it."""
        bucket, _, prefix = text.removeprefix(SCHEME).partition("/")
        if not bucket:
            raise StageError(f"{text}: no bucket", "write s3://BUCKET/PREFIX")
        return cls(bucket, prefix.strip("/"))

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}"

    def key(self, name: str) -> str:
        """The key of the file `name` (a relative path with slashes) below this location."""
        return f"{self.prefix}/{name}" if self.prefix else name


def download(source: Location, directory: Path) -> None:
    """Bring the objects below `source`, or the one object of that very key, into `directory`.

    Raises StageError when there are none, when a key is not the path of a file, and when the
    store cannot be used (unreachable, no such bucket, access denied).
    """
    with _reported(source):
        client = _client()
        names = dict(_listed(client, source))
        if not names:
            raise StageError(f"{source}: no objects there", "check the bucket and the prefix")
        for name in names:
            _check_name(source, name)
            (directory / name).parent.mkdir(parents=True, exist_ok=True)

        def fetch(name: str) -> None:
            with (directory / name).open("wb") as file:
                client.download_fileobj(source.bucket, names[name], file)

        with ThreadPoolExecutor(_TRANSFERS_AT_ONCE) as pool:
            list(pool.map(fetch, sorted(names)))


def object_names(source: Location) -> list[str]:
    """The relative names of the objects below `source`, sorted; none where there are none.

    Raises StageError when the store cannot be used.
    """
    with _reported(source):
        return sorted(name for name, _ in _listed(_client(), source))


def read_object(source: Location) -> bytes | None:
    """The content of the one object at `source`, None where there is none.

    Raises StageError when the store cannot be used.
    """
    from botocore.exceptions import ClientError

    with _reported(source):
        try:
            answer = _client().get_object(Bucket=source.bucket, Key=source.prefix)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ("NoSuchKey", "404"):
                return None
            raise
        content: bytes = answer["Body"].read()
        return content


def check_empty(target: Location) -> None:
    """Make sure that `target` can be reached and that there is nothing below it.

    Raises StageError when there is, and when the store cannot be used.
    """
    with _reported(target):
        first = next(_listed(_client(), target), None)
    if first:
        raise StageError(
            f"{target}: not empty, it holds {first[0]}", "choose a prefix that holds nothing yet"
        )


def upload(directory: Path, target: Location) -> None:
    """Put each file below `directory` under its relative path below `target`.

    Where that fails, what has been put there is taken away again as far as the store lets it.
    Raises StageError when the store cannot be used.
    """
    names = sorted(
        path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()
    )
    with _reported(target):
        client = _client()

        def put(name: str) -> None:
            with (directory / name).open("rb") as file:
                client.upload_fileobj(file, target.bucket, target.key(name))

        try:
            with ThreadPoolExecutor(_TRANSFERS_AT_ONCE) as pool:
                list(pool.map(put, names))
        except BaseException:
            _remove(client, target, names)
            raise


def _client() -> Any:
    import boto3
    from botocore.config import Config

    environ = os.environ
    endpoint = environ.get("MINIO_ENDPOINT") or None
    if endpoint and "://" not in endpoint:
        endpoint = f"http://{endpoint}"
    options: dict[str, Any] = {}
    # A server that is not AWS's may not know checksums, and rarely has a host name for each bucket.
    if any(environ.get(name) for name in _ENDPOINTS):
        in_host = environ.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "").lower() == "true"
        options["s3"] = {"addressing_style": "virtual" if in_host else "path"}
        for name in ("request_checksum_calculation", "response_checksum_validation"):
            options[name] = environ.get(f"AWS_{name.upper()}") or "when_required"
    bundles = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or None,
        aws_access_key_id=environ.get("MINIO_ACCESS_KEY") or None,
        aws_secret_access_key=environ.get("MINIO_SECRET_KEY") or None,
        # boto3 reads the others itself.
        verify=None if any(map(environ.get, bundles)) else environ.get("SSL_CERT_FILE") or None,
        config=Config(
            connect_timeout=10,
            retries={"mode": "standard", "max_attempts": 3},
            max_pool_connections=4 * _TRANSFERS_AT_ONCE,
            **options,
        ),
    )


def _listed(client: Any, location: Location) -> Iterator[tuple[str, str]]:
    """Yield (relative name, key) of the objects below `location`, without directory markers."""
    pages = client.get_paginator("list_objects_v2").paginate(
        Bucket=location.bucket, Prefix=location.prefix
    )
    for page in pages:
        for item in page.get("Contents", ()):
            key, empty = item["Key"], item["Size"] == 0
            # Consoles and Hadoop show directories by empty objects.
            if key.endswith("/") or (empty and key.endswith(_FOLDER_MARK)):
                continue
            if empty and _is_above_others(client, location.bucket, key):
                continue
            if key == location.prefix:
                yield key.rpartition("/")[2], key
            elif key.startswith(location.key("")):
                yield key[len(location.key("")) :], key


def _is_above_others(client: Any, bucket: str, key: str) -> bool:
    answer = client.list_objects_v2(Bucket=bucket, Prefix=f"{key}/", MaxKeys=2)
    return any(item["Key"] != f"{key}/" for item in answer.get("Contents", ()))


def _check_name(source: Location, name: str) -> None:
    if any(segment in ("", ".", "..") for segment in name.split("/")):
        raise StageError(
            f"{source}: the key {source.key(name)!r} is not the path of a file",
            "rename or remove that object",
        )


def _remove(client: Any, target: Location, names: list[str]) -> None:
    for name in names:
        with suppress(Exception):
            client.delete_object(Bucket=target.bucket, Key=target.key(name))


@contextmanager
def _reported(location: Location) -> Iterator[None]:
    """Turn whatever boto3 raises into a StageError that names `location` and no secret."""
    from botocore.exceptions import BotoCoreError, ClientError
    from s3transfer.exceptions import RetriesExceededError

    try:
        yield
    except ClientError as error:
        raise _refused(location, error.response.get("Error", {})) from None
    except (BotoCoreError, RetriesExceededError, ValueError) as error:
        raise _unusable(location, error) from None


def _refused(location: Location, answer: dict[str, Any]) -> StageError:
    code = str(answer.get("Code", "unknown"))
    if code == "NoSuchBucket":
        return StageError(f"{location}: no bucket {location.bucket}", "check its name, or make it")
    if code == "RequestTimeTooSkewed":
        return StageError(f"{location}: the clocks differ ({code})", "set this machine's clock")
    if code in _OTHER_REGION:
        return StageError(
            f"{location}: the bucket is in another region ({code})", "set AWS_REGION to its region"
        )
    if code in _DENIED:
        return StageError(f"{location}: access denied ({code})", _CREDENTIALS_HINT)
    return StageError(
        f"{location}: the store answers {code}: {answer.get('Message', '')}",
        "ask whoever runs the store, with this message",
    )


def _unusable(location: Location, error: Exception) -> StageError:
    from botocore import exceptions

    endpoint = os.environ.get("MINIO_ENDPOINT", "")
    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return StageError(f"{location}: no credentials", _CREDENTIALS_HINT)
    if isinstance(error, exceptions.SSLError):
        return StageError(
            f"{location}: the store's certificate is not trusted",
            "name the file of the authority that signed it in AWS_CA_BUNDLE",
        )
    if isinstance(error, exceptions.ConnectionError | exceptions.HTTPClientError):
        host = urlsplit(endpoint).hostname or endpoint or "the store"
        return StageError(
            f"{location}: cannot reach {host} ({type(error).__name__})",
            f"check {', '.join(_ENDPOINTS)} and the network",
        )
    # An endpoint may hold a password: it stays out of the message.
    reason = " ".join(str(error).replace(endpoint or "\0", "MINIO_ENDPOINT").split())
    return StageError(f"{location}: {reason}", "check MINIO_* and AWS_* variables and AWS's files")
