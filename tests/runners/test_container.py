"""A stage's container: what it sees, and the same as a command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daintree.runners.container import (
    Capacity,
    Container,
    Mount,
    bytes_of,
    command_line,
    container_of,
    container_variables,
)
from daintree.runners.runner import Job, Prepared
from daintree.settings import read_settings
from daintree.spec.component import Resources

OUTSIDE = {
    "USER": "ana",
    "MINIO_SECRET_KEY": "secret",
    "AWS_SESSION_TOKEN": "secret",
    "https_proxy": "http://proxy:3128",
    "OMP_NUM_THREADS": "4",
}


BUCKET: dict[str, Any] = {"input": "s3://bucket/in", "places": {}, "object_store": True}


def container(
    outside: dict[str, str] | None = None, configured: dict[str, str] | None = None, **more: Any
) -> Container:
    given: dict[str, Any] = {
        "label": "words:load",
        "component": "text/load",
        "version": "sha256:" + "0" * 64,
        "run": "r1",
        "prepared": Prepared(image="sha256:image"),
        "arguments": ("--limit", "0"),
        "input": "/place/input",
        "places": {"": Path("/store/out")},
        "output": Path("/place/output"),
        "scratch": Path("/place/scratch"),
        "log": Path("/place/log.txt"),
        **more,
    }
    settings = read_settings(Path("/nowhere"), {"HOME": "/nowhere", **(configured or {})})
    return container_of(
        Job(**given),
        {**OUTSIDE, **(outside or {})},
        settings,
        Capacity(2, 8 << 30),
        user="7:8",
        groups=("9",),
    )


def test_it_reads_its_input_and_writes_two_places() -> None:
    made = container()
    assert made.command == (
        *("--input", "/application/data/input", "--output", "/application/data/output"),
        *("--limit", "0"),
    )
    assert made.mounts == (
        Mount("/store/out", "/application/data/input"),
        Mount("/place/output", "/application/data/output", writable=True),
        Mount("/place/scratch", "/application/data/scratch", writable=True),
    )


def test_each_of_several_inputs_is_mounted_where_it_is() -> None:
    made = container(places={"left": Path("/store/l"), "right": Path("/store/r")})
    assert [(m.source, m.target, m.writable) for m in made.mounts[:2]] == [
        ("/store/l", "/application/data/input/left", False),
        ("/store/r", "/application/data/input/right", False),
    ]


def test_in_a_container_nothing_of_the_user_is_there_but_the_name() -> None:
    outside = dict.fromkeys(("PATH", "HOME", "OMP_NUM_THREADS", "HF_TOKEN"), "outside")
    variables = container_variables({**outside, "LOGNAME": "ana"}, network=True)
    assert "outside" not in variables.values()
    assert (variables["HOME"], variables["USER"], variables["TMPDIR"], variables["TZ"]) == (
        "/tmp",
        "ana",
        "/application/data/scratch",
        "UTC",
    )


def test_it_has_no_network_and_no_credentials() -> None:
    made = container()
    assert made.network == "none"
    assert "secret" not in made.variables.values()
    assert not {"https_proxy", "OMP_NUM_THREADS"} & set(made.variables)
    assert (made.variables["HOME"], made.variables["USER"]) == ("/tmp", "ana")


def test_a_network_that_is_declared_comes_with_its_proxies_alone() -> None:
    made = container(network=True)
    assert made.network == "bridge"
    assert made.variables["https_proxy"] == "http://proxy:3128"
    assert "secret" not in made.variables.values()


def test_a_variable_that_is_declared_passes_and_no_other() -> None:
    made = container({"DB_PASSWORD": "of the database", "HF_TOKEN": "secret"}, env=("DB_PASSWORD",))
    assert made.variables["DB_PASSWORD"] == "of the database"
    assert "secret" not in made.variables.values()


def test_an_address_on_the_web_brings_no_keys_of_a_bucket() -> None:
    made = container(input="https://data.example/day.csv", places={})
    assert made.network == "bridge"
    assert "secret" not in made.variables.values()


@pytest.mark.parametrize(
    ("configured", "memory", "temporary", "pids"),
    [
        ({}, "", 2 << 30, 4096),
        ({}, "2Gi", 512 << 20, 4096),
        ({"DAINTREE_DOCKER_TMP": "3Gi", "DAINTREE_DOCKER_PIDS": "64"}, "2Gi", 3 << 30, 64),
    ],
)
def test_processes_and_memory_in_tmp_are_limited(
    configured: dict[str, str], memory: str, temporary: int, pids: int
) -> None:
    made = container(configured=configured, resources=Resources(memory=memory))
    assert (made.temporary, made.pids) == (temporary, pids)
    line = command_line(made, command=())
    assert f"--tmpfs=/tmp:rw,exec,nosuid,nodev,mode=1777,size={temporary}" in line
    assert f"--pids-limit={pids}" in line


def test_certificates_of_an_object_store_are_mounted(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    made = container({"REQUESTS_CA_BUNDLE": str(tmp_path / "ca.pem")}, **BUCKET)
    assert made.variables["AWS_CA_BUNDLE"] == "/application/data/ca-bundle.pem"
    (mount,) = (m for m in made.mounts if m.target == made.variables["AWS_CA_BUNDLE"])
    assert (mount.source, mount.writable) == (str(tmp_path / "ca.pem"), False)


@pytest.mark.parametrize(
    ("endpoint", "network"),
    [
        ("", "bridge"),
        ("http://minio.example:9000", "bridge"),
        ("minio:9000", "bridge"),
        ("http://127.0.0.1:9000", "host"),
        ("localhost:9000", "host"),
        ("http://[::1]:9000", "host"),
    ],
)
def test_an_object_store_is_reached_with_its_keys(endpoint: str, network: str) -> None:
    made = container({"MINIO_ENDPOINT": endpoint}, **BUCKET)
    assert made.command[:2] == ("--input", "s3://bucket/in")
    assert made.network == network
    assert made.variables["MINIO_SECRET_KEY"] == "secret"
    assert [mount.target for mount in made.mounts] == [
        "/application/data/output",
        "/application/data/scratch",
    ]


def test_it_gets_no_more_cores_than_there_are() -> None:
    made = container(resources=Resources(cpu=64, memory="2Gi"))
    assert (made.cpus, made.memory) == (2, 2 << 30)
    assert (container().cpus, container().memory) == (0, 0)


@pytest.mark.parametrize(
    ("text", "amount"), [("", 0), ("3Ki", 3072), ("512Mi", 512 << 20), ("2Gi", 2 << 30)]
)
def test_amounts_of_memory(text: str, amount: int) -> None:
    assert bytes_of(text) == amount


def test_labels_name_the_run_and_hold_no_secret() -> None:
    made = container(**BUCKET)
    assert made.labels == {
        "ml.daintree.component": "text/load",
        "ml.daintree.version": "sha256:" + "0" * 64,
        "ml.daintree.run": "r1",
    }


def test_the_command_line_names_secrets_without_their_values() -> None:
    line = command_line(container(**BUCKET), command=("x",))
    assert "--env=MINIO_SECRET_KEY" in line
    assert not any("=secret" in word for word in line)
    assert line[-2:] == ["sha256:image", "x"]


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_any_path_can_be_mounted(name: str) -> None:
    """Docker reads the option's value as one record of CSV."""
    import csv
    import io

    made = container(places={"": Path("/store/" + name.replace("\r", "").strip("/"))})
    [option] = [w for w in command_line(made, command=()) if w.endswith("input,readonly")][:1]
    [fields] = csv.reader(io.StringIO(option.removeprefix("--mount="), newline=""))
    assert fields == [
        "type=bind",
        f"source={made.mounts[0].source}",
        "target=/application/data/input",
        "readonly",
    ]
