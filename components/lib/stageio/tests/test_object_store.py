from __future__ import annotations

import json
import socket
import threading
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import s3_server
from conftest import Stage
from stageio import StageError
from stageio.object_store import Location, object_names, read_object

COPIES = """\
import shutil
from stageio import run

def main(*, input, output, epochs, rate, on_error, verbose, name):
    shutil.copytree(input, output, dirs_exist_ok=True)
    if name:
        raise OSError(name)

if __name__ == "__main__":
    run(main)
"""

NAMES = {"a.csv": b"x\n1\n", "part 1/100%?é.bin": bytes(range(256)), "empty": b""}


@pytest.fixture
def environment(s3: str) -> dict[str, str]:
    return {
        "MINIO_ENDPOINT": s3,
        "MINIO_ACCESS_KEY": s3_server.ACCESS_KEY,
        "MINIO_SECRET_KEY": s3_server.SECRET_KEY,
    }


@pytest.fixture
def client(s3: str) -> Any:
    return s3_server.client(s3)


@pytest.fixture
def bucket(client: Any) -> str:
    name = f"bucket-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    return name


def contents(client: Any, bucket: str) -> dict[str, bytes]:
    listed = client.list_objects_v2(Bucket=bucket, Prefix="").get("Contents", [])
    keys = [item["Key"] for item in listed]
    return {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def test_input_and_output_may_both_lie_in_a_bucket(
    stage: Stage, client: Any, bucket: str, environment: dict[str, str]
) -> None:
    for name, content in NAMES.items():
        client.put_object(Bucket=bucket, Key=f"in/put/{name}", Body=content)
    client.put_object(Bucket=bucket, Key="in/put-not", Body=b"another prefix")
    answer = stage(
        "--input", f"s3://{bucket}/in/put/", "--output", f"s3://{bucket}/out",
        source=COPIES, **environment,
    )  # fmt: skip
    assert (answer.returncode, answer.stderr) == (0, "")
    stored = contents(client, bucket)
    assert {key: value for key, value in stored.items() if key.startswith("out/")} == {
        f"out/{name}": content for name, content in NAMES.items()
    }


def test_objects_that_show_directories_are_no_input(
    stage: Stage, tmp_path: Path, client: Any, bucket: str, environment: dict[str, str]
) -> None:
    client.put_object(Bucket=bucket, Key="in/deep/a.csv", Body=b"x\n1\n")
    client.put_object(Bucket=bucket, Key="in/deep/none", Body=b"")
    for key in ("in/", "in/deep/", "in/new/", "in_$folder$", "in/deep_$folder$"):
        client.put_object(Bucket=bucket, Key=key, Body=b"")
    output = tmp_path / "output"
    answer = stage("--input", f"s3://{bucket}/in", "--output", output, source=COPIES, **environment)
    assert (answer.returncode, answer.stderr) == (0, "")
    copied = {path.relative_to(output).as_posix() for path in output.rglob("*")}
    assert copied == {"deep", "deep/a.csv", "deep/none"}


def test_an_empty_object_above_others_shows_a_directory(stage: Stage, tmp_path: Path) -> None:
    """On AWS; MinIO cannot hold both."""
    with s3_server.fake(tmp_path) as endpoint:
        client = s3_server.client(endpoint)
        client.create_bucket(Bucket="above")
        for key in ("in", "in/deep", "in/deep-er", "in/deep/a"):
            client.put_object(Bucket="above", Key=key, Body=b"1" if key == "in/deep/a" else b"")
        answer = stage(
            "--input", "s3://above/in", "--output", tmp_path / "output", source=COPIES,
            MINIO_ENDPOINT=endpoint, MINIO_ACCESS_KEY=s3_server.ACCESS_KEY,
            MINIO_SECRET_KEY=s3_server.SECRET_KEY,
        )  # fmt: skip
    assert (answer.returncode, answer.stderr) == (0, "")
    copied = {p.relative_to(tmp_path / "output").as_posix() for p in tmp_path.rglob("output/**/*")}
    assert copied == {"deep", "deep-er", "deep/a"}


def test_the_endpoint_may_be_a_bare_host_and_the_prefix_one_object(
    stage: Stage, tmp_path: Path, client: Any, bucket: str, environment: dict[str, str]
) -> None:
    client.put_object(Bucket=bucket, Key="deep/a.csv", Body=b"x\n1\n")
    environment["MINIO_ENDPOINT"] = environment["MINIO_ENDPOINT"].removeprefix("http://")
    output = tmp_path / "output"
    answer = stage(
        "--input", f"s3://{bucket}/deep/a.csv", "--output", output, source=COPIES, **environment
    )
    assert answer.stderr == ""
    assert (output / "a.csv").read_bytes() == b"x\n1\n"


def test_the_credentials_may_be_those_of_aws(
    stage: Stage, source: Path, client: Any, bucket: str, s3: str
) -> None:
    answer = stage(
        "--input", source, "--output", f"s3://{bucket}",
        source=COPIES, MINIO_ENDPOINT=s3, MINIO_ACCESS_KEY="", MINIO_SECRET_KEY="",
        AWS_ACCESS_KEY_ID=s3_server.ACCESS_KEY, AWS_SECRET_ACCESS_KEY=s3_server.SECRET_KEY,
    )  # fmt: skip
    assert answer.stderr == ""
    assert contents(client, bucket) == {"a.csv": b"x\n1\n"}


def test_a_failed_stage_uploads_nothing(
    stage: Stage, source: Path, client: Any, bucket: str, environment: dict[str, str]
) -> None:
    answer = stage(
        "--input", source, "--output", f"s3://{bucket}/out", "--name", "boom",
        source=COPIES, **environment,
    )  # fmt: skip
    assert (answer.returncode, answer.stderr) == (1, "error: boom\n")
    assert contents(client, bucket) == {}


def test_an_upload_that_fails_halfway_is_taken_back(
    stage: Stage, source: Path, client: Any, bucket: str, environment: dict[str, str]
) -> None:
    too_deep_for_a_key = source.joinpath(*["directory" * 20] * 7)
    too_deep_for_a_key.mkdir(parents=True)
    (too_deep_for_a_key / "b.csv").write_bytes(b"x")
    answer = stage(
        "--input", source, "--output", f"s3://{bucket}/out", source=COPIES, **environment
    )
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"error: s3://{bucket}/out: the store answers ")
    assert contents(client, bucket) == {}


@pytest.mark.parametrize(
    ("given", "changed", "message", "hint"),
    [
        ("s3://{bucket}/none", {}, "no objects there", "check the bucket and the prefix"),
        ("s3://no-such-bucket/x", {}, "no bucket no-such-bucket", "check its name"),
        ("s3:///x", {}, "s3:///x: no bucket", "write s3://BUCKET/PREFIX"),
        ("s3://{bucket}/x", {"MINIO_ACCESS_KEY": "wr0ng"}, "access denied", "MINIO_ACCESS_KEY"),
        ("s3://Not_A_Bucket!/x", {}, "Invalid bucket name", ""),
    ],
)
def test_an_input_that_the_store_refuses_is_an_error(
    stage: Stage, source: Path, bucket: str, environment: dict[str, str],
    given: str, changed: dict[str, str], message: str, hint: str,
) -> None:  # fmt: skip
    given = given.format(bucket=bucket)
    answer = stage(
        "--input", given, "--output", source.with_name("output"), **{**environment, **changed}
    )
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: s3://")
    assert message in answer.stderr
    assert hint in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not {s for s in ("wr0ng", environment["MINIO_SECRET_KEY"]) if s in answer.stderr}


def test_an_output_prefix_that_is_not_empty_is_an_error(
    stage: Stage, source: Path, client: Any, bucket: str, environment: dict[str, str]
) -> None:
    client.put_object(Bucket=bucket, Key="out/old.csv", Body=b"x")
    answer = stage("--input", source, "--output", f"s3://{bucket}/out", **environment)
    assert answer.stderr.startswith(f"error: s3://{bucket}/out: not empty, it holds old.csv")
    assert answer.stdout == ""


def test_an_output_in_a_missing_bucket_is_an_error_before_the_work(
    stage: Stage, source: Path, environment: dict[str, str]
) -> None:
    answer = stage("--input", source, "--output", "s3://no-such-bucket/out", **environment)
    assert answer.stderr.startswith("error: s3://no-such-bucket/out: no bucket no-such-bucket")
    assert answer.stdout == ""


def test_an_endpoint_that_is_no_url_is_an_error(stage: Stage, source: Path) -> None:
    answer = stage(
        "--input", "s3://bucket/x", "--output", source.with_name("output"),
        MINIO_ENDPOINT="http://someone:hunter2@not a host", MINIO_ACCESS_KEY="key",
        MINIO_SECRET_KEY="secret",
    )  # fmt: skip
    assert answer.stderr.startswith("error: s3://bucket/x: ")
    assert "MINIO_ENDPOINT" in answer.stderr
    assert "hunter2" not in answer.stderr
    assert answer.returncode == 1


def test_a_store_that_cannot_be_reached_is_an_error(stage: Stage, source: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    answer = stage(
        "--input", "s3://bucket/x", "--output", source.with_name("output"),
        MINIO_ENDPOINT=f"http://someone:hunter2@127.0.0.1:{port}",
        MINIO_ACCESS_KEY="key", MINIO_SECRET_KEY="secret",
    )  # fmt: skip
    assert "error: s3://bucket/x: cannot reach 127.0.0.1" in answer.stderr
    assert (
        "hint: check MINIO_ENDPOINT, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL and the network"
        in answer.stderr
    )
    assert "hunter2" not in answer.stderr
    assert answer.returncode == 1


def test_boto3_is_imported_for_s3_paths_only(stage: Stage, source: Path) -> None:
    prints_modules = (
        "import json, sys\nfrom stageio import run\n"
        "def main(**arguments): print(json.dumps([*sys.modules]))\n"
        "run(main)\n"
    )
    answer = stage("--input", source, "--output", source.with_name("output"), source=prints_modules)
    assert not {"boto3", "botocore"} & set(json.loads(answer.stdout))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://b", Location("b", "")),
        ("s3://b/", Location("b", "")),
        ("s3://b/a/b/", Location("b", "a/b")),
        ("s3://b/a?x#1", Location("b", "a?x#1")),
    ],
)
def test_a_location_is_a_bucket_and_a_prefix(text: str, expected: Location) -> None:
    assert Location.parse(text) == expected


LISTING = b"""<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
<Name>b</Name><Prefix>in/</Prefix><KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>
<Contents><Key>in/../../evil</Key><Size>1</Size><ETag>"0"</ETag><LastModified>2020-01-01T00:00:00.000Z</LastModified></Contents>
</ListBucketResult>"""


class _Lists(BaseHTTPRequestHandler):
    """A server that takes keys which MinIO refuses."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(LISTING)))
        self.end_headers()
        self.wfile.write(LISTING)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_a_key_that_leaves_the_input_is_an_error(
    stage: Stage, source: Path, environment: dict[str, str]
) -> None:
    with HTTPServer(("127.0.0.1", 0), _Lists) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        there = {**environment, "MINIO_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
        answer = stage("--input", "s3://b/in", "--output", source.with_name("output"), **there)
        server.shutdown()
    assert answer.returncode == 1
    assert "is not the path of a file" in answer.stderr
    assert not source.with_name("evil").exists()


def test_a_location_needs_a_bucket() -> None:
    with pytest.raises(StageError, match="no bucket"):
        Location.parse("s3://")


def test_single_objects_are_read_and_names_listed(
    client: Any, bucket: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for key in ("runs/b/run.json", "runs/a", "runs/b/", "runsnot/c"):
        client.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert object_names(Location(bucket, "runs")) == ["a", "b/run.json"]
    assert object_names(Location(bucket, "none")) == []
    assert read_object(Location(bucket, "runs/a")) == b"runs/a"
    assert read_object(Location(bucket, "runs/c")) is None
    with pytest.raises(StageError, match="no bucket none-of-these"):
        read_object(Location("none-of-these", "a"))
