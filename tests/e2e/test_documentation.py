"""Everything the documentation shows is run, and its screens are what the program prints."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.documentation import screens
from tests.documentation.page import (
    Command,
    blocks,
    needs_engine,
    needs_registry,
    needs_store,
    spoken_commands,
)
from tests.documentation.reader import Reader
from tests.services.minio import variables

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
PACKAGE = ROOT / "tooling" / "daintree"
PACKAGES = [path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name[0] != "_"]
LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


RUNNABLE = [page for page in PAGES if list(blocks(page.read_text("utf-8")))]


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


@pytest.mark.parametrize("page", RUNNABLE, ids=_name)
def test_a_page_can_be_followed_and_its_screens_are_true(
    page: Path, reader: Reader, request: pytest.FixtureRequest
) -> None:
    if needs_engine(page.read_text("utf-8")):
        request.getfixturevalue("engine")
    if needs_registry(page.read_text("utf-8")):
        request.getfixturevalue("engine")
        address = request.getfixturevalue("registry").address
        reader.use_registry(f"{address}/{os.urandom(6).hex()}")
    if needs_store(page.read_text("utf-8")):
        reader.use_store(variables(request.getfixturevalue("minio").access))
    reader.catch_up(page)
    for block in blocks(page.read_text("utf-8")):
        for command, printed in reader.follow(block):
            screen = f"{command.text}\n" + "\n".join(printed)
            assert screens.agree(command.shown, printed), screen


def test_the_commands_in_running_text_work(reader: Reader) -> None:
    spoken = dict.fromkeys(["doit run item2vec"])
    for page in PAGES:
        text = page.read_text("utf-8")
        shown = {command.text for b in blocks(text) for command in b.commands}
        spoken |= dict.fromkeys(c for c in spoken_commands(text) if c not in shown)
    assert len(spoken) > 10
    for text in spoken:
        reader.printed(Command(text, ()))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    for link, section in LINK.findall(page.read_text("utf-8")):
        place = page.parent / link if link else page
        assert place.exists(), link
        if section:
            headings = HEADING.findall(place.read_text("utf-8"))
            anchors = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
            assert section in anchors, f"{link}#{section}"


# Paths of the package as pages write them: whole, or from the package on.
CODE = re.compile(r"`(?:tooling/daintree/)?((?:" + "|".join(PACKAGES) + r")/[a-z_/]*(?:\.py)?)`")


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_the_modules_that_a_page_names_exist(page: Path) -> None:
    if "adr" not in page.parts:
        for path in CODE.findall(page.read_text("utf-8")):
            assert (PACKAGE / path).exists() or (ROOT / path).exists(), path


# Each block, from its fence to the next; a diagram is drawn, and all others are shown as they are.
BLOCK = re.compile(r"^( *)```([^`\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_screens_fit_a_terminal(page: Path) -> None:
    for _, language, body in BLOCK.findall(page.read_text("utf-8")):
        wide = [line for line in body.splitlines() if len(line) > screens.WIDTH]
        assert language == "mermaid" or wide == []


def test_the_readme_is_run() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert sum(len(block.commands) for block in blocks(text)) > 3


SHOWN = ("load  done  1.16 s, 1 file, 255.5 kB", "…", "item2vec: 5 runs")


@pytest.mark.parametrize(
    ("printed", "true"),
    [
        (["load  done  9.99 s, 1 file, 1.5 kB", "item2vec: 5 runs"], True),
        (["load  done  9.99 s, 1 file, 1.5 kB", "more", "and more", "item2vec: 5 runs"], True),
        (["load  done  9.99 s, 2 files, 1.5 kB", "item2vec: 5 runs"], False),
        (["load  done  9.99 s, 1 file, 1.5 kB", "item2vec: 4 runs"], False),
        (["load  done  9.99 s, 1 file, 1.5 kB", "item2vec: 5 runs", "more"], False),
        ([], False),
    ],
)
def test_only_what_varies_may_differ(printed: list[str], true: bool) -> None:
    assert screens.agree(SHOWN, printed) is true


@pytest.mark.parametrize(
    ("shown", "renewed"),
    [
        ((), []),
        (("?",), ["a", "b", "c", "d"]),
        (("x", "…", "y"), ["a", "…", "d"]),
        (("…",), ["…"]),
        (("x", "…", "c", "gone", "…"), ["a", "…", "c", "…"]),
    ],
)
def test_a_renewed_screen_keeps_its_elisions(shown: tuple[str, ...], renewed: list[str]) -> None:
    assert screens.renewed(shown, ["a", "b", "c", "d"]) == renewed


WIDE = f"error: {'/a/long/path ' * 8}cannot  be read{', or so' * 9}"


def test_a_line_wider_than_a_page_is_folded_and_still_the_same_line() -> None:
    lines = ["load  done", WIDE, "        of its own", "hint: none"]
    shown = screens.renewed(("?",), lines)
    assert max(map(len, shown)) <= screens.WIDTH
    assert len(shown) > len(lines)
    assert screens.agree(shown, lines)
    assert not screens.agree(shown, [lines[0], WIDE.replace("or so", "or no", 1), *lines[2:]])
    assert screens.renewed(("…", *shown[1:3], "…"), lines) == ["…", *shown[1:3], "…"]


@pytest.mark.parametrize(
    ("printed", "true"),
    [
        ("12ea542d  load  ok  10.5 s  ana@laptop  no run of it has the sa…", True),
        ("12ea542d  load  ok  0.5 s  ana@laptop  no run of it has the same ke…", True),
        ("12ea542d  load  FAILED  0.5 s  ana@laptop  no run of it has the same k…", False),
    ],
)
def test_where_a_table_is_cut_may_differ(printed: str, true: bool) -> None:
    shown = ("12ea542d  load  ok  0.51 s  ana@laptop  no run of it has the same …",)
    assert screens.agree(shown, [printed]) is true


def test_a_failure_that_a_page_does_not_show_is_one(reader: Reader) -> None:
    with pytest.raises(AssertionError, match="exit code 1"):
        reader.printed(Command("doit plan nothing", ()))
    shown = ("error: …",)
    assert reader.printed(Command("doit plan nothing", shown))


def test_what_text_says_of_commands_is_run_or_looked_up() -> None:
    text = "`doit plan item2vec`, `doit show RUN`, `doit store`, `doit test`, `doit`, `git log`"
    assert spoken_commands(text) == [
        "doit plan item2vec",
        "doit help show",
        "doit help store",
    ]
