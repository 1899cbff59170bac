"""S3 stores on the loopback interface for the tests: a small fake, and MinIO where it is there."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

ACCESS_KEY = "the-access-key"
SECRET_KEY = "the-secret-key"


def client(endpoint: str) -> Any:
    """A boto3 client of the store at `endpoint`."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
    )


@contextmanager
def minio(directory: Path) -> Iterator[str]:
    """The endpoint of a MinIO that keeps its objects in `directory`."""
    program = shutil.which("minio")
    if program is None:
        pytest.skip("no minio on PATH")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    credentials = {"MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY}
    server = subprocess.Popen(
        [program, "server", "--address", address, str(directory)],
        env={**os.environ, **credentials},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    try:
        assert server.stdout is not None
        assert any("API: " in line for line in server.stdout), "MinIO has not started"
        yield f"http://{address}"
    finally:
        server.terminate()
        server.communicate()


@contextmanager
def fake(directory: Path) -> Iterator[str]:
    """The endpoint of a store in memory that knows the requests stageio makes."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


_buckets: dict[str, dict[str, bytes]] = {}


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urlsplit(self.path)
        bucket, _, key = unquote(url.path).removeprefix("/").partition("/")
        if f"Credential={ACCESS_KEY}/" not in self.headers.get("Authorization", ""):
            self._refuse(403, "InvalidAccessKeyId")
        elif self.command == "PUT" and not key:
            _buckets[bucket] = {}
            self._reply(200)
        elif bucket not in _buckets:
            self._refuse(404, "NoSuchBucket")
        elif not key:
            self._list(_buckets[bucket], parse_qs(url.query, keep_blank_values=True))
        else:
            self._object(_buckets[bucket], key, body)

    do_GET = do_HEAD = do_PUT = do_DELETE = _serve

    def _list(self, objects: dict[str, bytes], query: dict[str, list[str]]) -> None:
        found = [key for key in sorted(objects) if key.startswith(query["prefix"][0])]
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(objects[key])}</Size></Contents>"
            for key in found
        )
        self._reply(200, f"<ListBucketResult>{contents}</ListBucketResult>".encode())

    def _object(self, objects: dict[str, bytes], key: str, body: bytes) -> None:
        if len(key.encode()) > 1024:
            self._refuse(400, "KeyTooLongError")
        elif self.command == "PUT":
            objects[key] = body
            self._reply(200)
        elif self.command == "DELETE":
            objects.pop(key, None)
            self._reply(204)
        elif key not in objects:
            self._refuse(404, "NoSuchKey")
        else:
            self._ranged(objects[key])

    def _ranged(self, content: bytes) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked:
            content = content[int(asked[1]) : int(asked[2]) + 1 if asked[2] else None]
        self._reply(206 if asked else 200, content)

    def _refuse(self, status: int, code: str) -> None:
        self._reply(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())

    def _reply(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"0"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass
