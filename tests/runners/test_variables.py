from __future__ import annotations

import os
from pathlib import Path

import pytest

from daintree.runners.variables import container_variables, stage_variables

PYTHON = Path("/environments/one/bin/python")
SCRATCH = Path("/scratch")


@pytest.mark.parametrize(
    "name",
    ["HOME", "https_proxy", "NO_PROXY", "SSL_CERT_FILE", "MINIO_SECRET_KEY", "AWS_PROFILE",
     "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "HF_HOME", "PYTORCH_CUDA_ALLOC_CONF"],
)  # fmt: skip
def test_how_to_reach_the_machine_passes(name: str) -> None:
    assert stage_variables({name: "outside"}, PYTHON, SCRATCH)[name] == "outside"


@pytest.mark.parametrize(
    "name",
    ["DAINTREE_STORE", "GIT_DIR", "PYTHONPATH", "PYTHONWARNINGS", "VIRTUAL_ENV", "UV_INDEX_URL",
     "PIP_INDEX_URL", "LC_NUMERIC", "GITHUB_TOKEN", "EPOCHS", "LD_PRELOAD"],
)  # fmt: skip
def test_all_else_stays_outside(name: str) -> None:
    assert name not in stage_variables({name: "outside"}, PYTHON, SCRATCH)


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


def test_in_a_container_nothing_of_the_user_is_there_but_the_name() -> None:
    outside = dict.fromkeys(("PATH", "HOME", "OMP_NUM_THREADS", "HF_TOKEN"), "outside")
    found = container_variables(
        {**outside, "LOGNAME": "ana"}, home="/tmp", scratch="/s", network=True, object_store=True
    )
    assert "outside" not in found.values()
    assert (found["HOME"], found["USER"], found["TMPDIR"], found["TZ"]) == (
        "/tmp",
        "ana",
        "/s",
        "UTC",
    )
