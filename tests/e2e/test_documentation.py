"""Every command line shown in the documentation is run; the README's screens are what the program prints."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def _documentation() -> ModuleType:
    """tests/documentation.py, which pytest's import mode does not put on the path."""
    spec = importlib.util.spec_from_file_location("documentation", ROOT / "tests/documentation.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["documentation"] = module
    spec.loader.exec_module(module)
    return module


documentation = _documentation()


def shop(directory: Path) -> tuple[Path, dict[str, str]]:
    """A clone of the project as it is committed, and the environment of somebody new to it."""
    clone = directory / "shop"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    environ = {
        "HOME": str(directory),
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache/uv")),
        "LANG": "C.UTF-8",
        "GIT_AUTHOR_NAME": "Ana",
        "GIT_AUTHOR_EMAIL": "ana@shop.example",
        "GIT_COMMITTER_NAME": "Ana",
        "GIT_COMMITTER_EMAIL": "ana@shop.example",
        "USER": "ana",
    }
    passed = ("PIP_", "UV_", "SSL_", "HTTP", "http", "REQUESTS_", "no_proxy", "NO_PROXY")
    environ |= {name: value for name, value in os.environ.items() if name.startswith(passed)}
    return clone, environ


def commands(page: Path) -> list[object]:
    return [c for _, found in documentation.blocks(page.read_text("utf-8")) for c in found]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_work_as_shown(page: Path, tmp_path: Path) -> None:
    clone, environ = shop(tmp_path)
    for command in commands(page):
        if documentation.SET_UP.match(command.text):  # type: ignore[attr-defined]
            continue
        printed = documentation.run(command.text, clone, environ)  # type: ignore[attr-defined]
        if page.name == "README.md" and page.parent == ROOT:
            shown = command.shown  # type: ignore[attr-defined]
            assert documentation.agree(shown, printed), "\n".join(printed)


def test_a_page_is_checked() -> None:
    assert len(commands(ROOT / "README.md")) > 3
