"""Everything the documentation shows is run, and its screens are what the program prints."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")


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
RUNNABLE = [page for page in PAGES if list(documentation.blocks(page.read_text("utf-8")))]


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def reader(tmp_path: Path) -> object:
    return documentation.Reader(tmp_path)


@pytest.mark.parametrize("page", RUNNABLE, ids=_name)
def test_a_page_can_be_followed_and_its_screens_are_true(page: Path, reader: object) -> None:
    reader.catch_up(page)  # type: ignore[attr-defined]
    for block in documentation.blocks(page.read_text("utf-8")):
        for command, printed in reader.follow(block):  # type: ignore[attr-defined]
            told = f"{command.text}\n" + "\n".join(printed)
            assert documentation.agree(command.shown, printed), told


def test_the_commands_in_running_text_work(reader: object) -> None:
    spoken = dict.fromkeys(["doit run item2vec"])
    for page in PAGES:
        text = page.read_text("utf-8")
        shown = {command.text for b in documentation.blocks(text) for command in b.commands}
        spoken |= dict.fromkeys(c for c in documentation.spoken_commands(text) if c not in shown)
    assert len(spoken) > 10
    for text in spoken:
        reader.printed(documentation.Command(text, ()))  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text("utf-8")):
        assert (page.parent / link).exists(), link


def test_the_readme_is_run() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert sum(len(block.commands) for block in documentation.blocks(text)) > 3
