from __future__ import annotations

import os
from pathlib import Path

import pytest

from daintree.runners.variables import (
    failure_hint,
    missing_variables,
    stage_variables,
)

PYTHON = Path("/environments/one/bin/python")
SCRATCH = Path("/scratch")


@pytest.mark.parametrize(
    "name",
    ["HOME", "https_proxy", "NO_PROXY", "SSL_CERT_FILE", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"],
)  # fmt: skip
def test_settings_of_the_network_pass(name: str) -> None:
    assert stage_variables({name: "outside"}, PYTHON, SCRATCH)[name] == "outside"


@pytest.mark.parametrize(
    "name",
    ["DAINTREE_STORE", "GIT_DIR", "PYTHONPATH", "PYTHONWARNINGS", "VIRTUAL_ENV", "UV_INDEX_URL",
     "PIP_INDEX_URL", "LC_NUMERIC", "GITHUB_TOKEN", "EPOCHS", "LD_PRELOAD", "MINIO_SECRET_KEY",
     "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "HF_TOKEN", "HF_HOME", "SSL_KEY_PASSWORD", "CUDA_TOKEN"],
)  # fmt: skip
def test_all_else_stays_outside(name: str) -> None:
    assert name not in stage_variables({name: "outside"}, PYTHON, SCRATCH)


@pytest.mark.parametrize("name", ["MINIO_SECRET_KEY", "HF_TOKEN", "db_password"])
def test_a_variable_that_the_component_names_passes(name: str) -> None:
    outside = {name: "outside", "GITHUB_TOKEN": "outside"}
    variables = stage_variables(outside, PYTHON, SCRATCH, names=[name])
    assert variables[name] == "outside"
    assert "GITHUB_TOKEN" not in variables


def test_a_stage_that_reads_a_bucket_gets_the_access_that_the_tooling_has(tmp_path: Path) -> None:
    outside = {
        "HOME": str(tmp_path),
        "MINIO_ENDPOINT": "minio:9000",
        "MINIO_ACCESS_KEY": "key",
        "MINIO_SECRET_KEY": "secret",
        "AWS_REGION": "eu-west-1",
        "HF_TOKEN": "outside",
    }
    variables = stage_variables(outside, PYTHON, SCRATCH, object_store=True)
    assert variables["AWS_ENDPOINT_URL_S3"] == variables["MINIO_ENDPOINT"] == "http://minio:9000"
    assert variables["AWS_SECRET_ACCESS_KEY"] == variables["MINIO_SECRET_KEY"] == "secret"
    assert variables["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert variables["AWS_REQUEST_CHECKSUM_CALCULATION"] == "when_required"
    assert "HF_TOKEN" not in variables


def test_a_declared_variable_that_is_not_set_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_USER", "ana")
    error = missing_variables("shop/load", ["DB_USER", "DB_PASSWORD"], tmp_path)
    assert error is not None
    assert error.message == (
        "shop/load needs the environment variable DB_PASSWORD: its component.yaml names it in `env`"
    )
    assert error.hint == "export DB_PASSWORD=…, or a line DB_PASSWORD=… in the project's .env"
    monkeypatch.setenv("DB_USER", "")
    assert missing_variables("shop/load", ["DB_USER"], tmp_path) is None
    both = missing_variables("shop/load", ["TOKEN", "DB_PASSWORD"], tmp_path)
    assert both is not None
    assert "variables TOKEN, DB_PASSWORD: its component.yaml names them" in both.message
    assert (
        both.hint
        == "export TOKEN=… DB_PASSWORD=…, or a line TOKEN=… and a line DB_PASSWORD=… in the project's .env"
    )


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (
            "KeyError: 'HF_TOKEN'",
            "a stage gets only the variables that its component names:"
            " env: [HF_TOKEN] in components/shop/load/component.yaml",
        ),
        (
            "botocore.exceptions.NoCredentialsError: Unable to locate credentials",
            "a stage gets only the variables that its component names:"
            " env: [AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY] in components/shop/load/component.yaml",
        ),
        (
            "ModuleNotFoundError: No module named 'yaml'",
            "is the package of yaml in components/shop/load/requirements.in, and is that locked?"
            " doit lock shop/load",
        ),
        ("KeyError: 'NOT_SET'", ""),
        ("DB_USER is refused", ""),
        ("ValueError: 3", ""),
    ],
)
def test_a_stage_that_failed_for_want_of_something_gets_a_hint(line: str, hint: str) -> None:
    names = ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "DB_USER")
    outside = dict.fromkeys(names, "value")
    assert failure_hint("shop/load", ["Traceback:", line], ["DB_USER"], outside) == hint


def test_what_could_vary_is_fixed() -> None:
    outside = {"TZ": "Asia/Tokyo", "LANG": "tr_TR", "LC_ALL": "tr_TR", "PYTHONHASHSEED": "random"}
    variables = stage_variables({**outside, "TMPDIR": "/elsewhere"}, PYTHON, SCRATCH)
    assert {name: variables[name] for name in outside} == {
        "TZ": "UTC",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PYTHONHASHSEED": "0",
    }
    assert variables["TMPDIR"] == "/scratch"


@pytest.mark.parametrize(
    ("outside", "path"),
    [
        ({"PATH": "/usr/bin"}, "/environments/one/bin:/usr/bin"),
        ({}, f"/environments/one/bin:{os.defpath}"),
    ],
)
def test_the_environments_programs_come_first(outside: dict[str, str], path: str) -> None:
    assert stage_variables(outside, PYTHON, SCRATCH)["PATH"] == path


def test_bytecode_goes_to_the_environment() -> None:
    variables = stage_variables({}, PYTHON, SCRATCH)
    assert variables["PYTHONPYCACHEPREFIX"] == "/environments/one/bytecode"
