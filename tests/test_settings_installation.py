"""Hints with the command that installs the tooling, and its address for a requirement: wherever the tooling came from."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from daintree import __version__
from daintree.settings import install_command

REPOSITORY = Path(__file__).parents[1]
WHEEL = f"daintree-{__version__}-py3-none-any.whl"


def answer_of(packages: Path, direct_url: dict[str, object] | None, question: str) -> str:
    """Value of an expression in an installation in the directory `packages` that pip recorded this address for."""
    shutil.copytree(REPOSITORY / "tooling" / "daintree", packages / "daintree")
    record = packages / f"daintree-{__version__}.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: daintree\nVersion: {__version__}\n"
    )
    if direct_url is not None:
        (record / "direct_url.json").write_text(json.dumps(direct_url))
    program = (
        f"import sys; sys.path.insert(0, {str(packages)!r})\n"
        f"from daintree.settings import install_command, installed_from; print({question})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=packages
    )
    return done.stdout.strip()


def test_in_a_clone_the_clone_is_installed_again() -> None:
    assert install_command() == "pip install -e ."
    assert install_command("argo") == "pip install -e '.[argo]'"


@pytest.mark.parametrize(
    ("direct_url", "command"),
    [
        (
            {"url": f"file:///share/{WHEEL}", "archive_info": {}},
            f"pip install 'daintree[argo] @ file:///share/{WHEEL}'",
        ),
        (
            {
                "url": "https://git.example/team/tools",
                "vcs_info": {"vcs": "git", "commit_id": "0123abcd"},
            },
            "pip install 'daintree[argo] @ git+https://git.example/team/tools@0123abcd'",
        ),
        (None, f"pip install '{WHEEL}[argo]', with the path of your team's wheel"),
    ],
    ids=["wheel", "git", "unknown"],
)
def test_outside_of_a_clone_the_address_that_pip_recorded_is_named(
    tmp_path: Path, direct_url: dict[str, object] | None, command: str
) -> None:
    hint = answer_of(tmp_path / "site-packages", direct_url, "install_command('argo')")
    assert hint == command


DIGEST = "ab" * 32


@pytest.mark.parametrize(
    ("direct_url", "address"),
    [
        (
            {
                "url": f"https://files.example/{WHEEL}",
                "archive_info": {"hash": f"sha256={DIGEST}", "hashes": {"sha256": DIGEST}},
            },
            f"https://files.example/{WHEEL}#sha256={DIGEST}",
        ),
        (
            {
                "url": "https://git.example/team/tools",
                "vcs_info": {"vcs": "git", "commit_id": "0123abcd"},
                "subdirectory": "build",
            },
            "git+https://git.example/team/tools@0123abcd#subdirectory=build",
        ),
        (
            {"url": "file:///home/ana/tools", "dir_info": {"editable": True}},
            "file:///home/ana/tools",
        ),
        (None, ""),
        ({}, ""),
    ],
    ids=["wheel", "git", "directory", "unknown", "empty"],
)
def test_a_requirement_names_what_was_recorded(
    tmp_path: Path, direct_url: dict[str, object] | None, address: str
) -> None:
    assert answer_of(tmp_path / "site-packages", direct_url, "installed_from()") == address
