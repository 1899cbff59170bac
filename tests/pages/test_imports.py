"""The pages and what they need are loaded by their two commands alone."""

from __future__ import annotations

import ast
from pathlib import Path

import daintree

PACKAGE = Path(daintree.__file__).parent
OF_THE_EXTRA = {"starlette", "uvicorn", "jinja2", "markupsafe", "markdown_it", "nh3", "plotly", "fast_sugiyama"}  # fmt: skip


def imported(path: Path) -> set[str]:
    """The modules that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_no_other_command_imports_the_pages_or_their_packages() -> None:
    users = set()
    for path in PACKAGE.rglob("*.py"):
        names = imported(path)
        if any(
            n.startswith("daintree.pages") or n.partition(".")[0] in OF_THE_EXTRA for n in names
        ):
            users.add(path.relative_to(PACKAGE).parts[:2])
    own = {("pages", path.name) for path in (PACKAGE / "pages").glob("*.py")}
    assert users <= {("commands", "ui.py"), *own}
    assert ("commands", "ui.py") in users
