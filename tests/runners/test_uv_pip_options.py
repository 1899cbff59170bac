from __future__ import annotations

import os
from pathlib import Path

import pytest

from daintree.runners.uv import pip_options


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A user without any configuration but what the test writes."""
    return {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "xdg")}


def configure(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def test_the_users_file_is_read(environ: dict[str, str], tmp_path: Path) -> None:
    configure(
        tmp_path / ".config" / "pip" / "pip.conf",
        "[global]\nindex-url = https://host.example/100%\n[install]\nfind_links = /a\n  /b\n",
    )
    options = pip_options(environ)
    assert options["index-url"] == "https://host.example/100%"
    assert options["find-links"].split() == ["/a", "/b"]


def test_the_nearer_file_wins_and_the_environment_over_all(
    environ: dict[str, str], tmp_path: Path
) -> None:
    configure(tmp_path / "xdg" / "pip" / "pip.conf", "[global]\ncert = a\nproxy = a\ntimeout = 1\n")
    configure(tmp_path / ".pip" / "pip.conf", "[global]\nproxy = b\ntimeout = 2\n")
    configure(tmp_path / "chosen.conf", "[global]\ntimeout = 3\n")
    environ["PIP_CONFIG_FILE"] = str(tmp_path / "chosen.conf")
    options = pip_options(environ)
    assert (options["proxy"], options["timeout"]) == ("b", "3")
    assert pip_options({**environ, "PIP_DEFAULT_TIMEOUT": "4"})["timeout"] == "4"


def test_files_are_left_alone_where_pip_is_told_to(environ: dict[str, str], tmp_path: Path) -> None:
    configure(tmp_path / ".pip" / "pip.conf", "[global]\nproxy = b\n")
    assert pip_options({**environ, "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "i"}) == {
        "config-file": os.devnull,
        "index-url": "i",
    }


@pytest.mark.parametrize("content", ["no section\n", "[global\n", "[global]\na = \udcff\n"])
def test_a_broken_file_says_nothing(environ: dict[str, str], tmp_path: Path, content: str) -> None:
    (tmp_path / ".pip").mkdir()
    (tmp_path / ".pip" / "pip.conf").write_text(content, errors="surrogateescape")
    before = pip_options({**environ, "HOME": str(tmp_path / "empty")})
    assert pip_options(environ) == before
