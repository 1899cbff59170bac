"""The sizes that CONTRIBUTING.md asks of modules and functions."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

PROJECT = Path(__file__).parent.parent
MODULE_LINES, FUNCTION_LINES = 300, 40


def modules() -> list[Path]:
    """Every module of the project that git knows."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "*.py"], cwd=PROJECT, check=True, capture_output=True, text=True
    )
    found = [PROJECT / name for name in listed.stdout.split("\0") if name]
    return [path for path in found if path.exists()]


def test_a_module_has_at_most_300_lines() -> None:
    sizes = {str(path): len(path.read_text("utf-8").splitlines()) for path in modules()}
    assert {name: lines for name, lines in sizes.items() if lines > MODULE_LINES} == {}


def test_a_function_has_at_most_40_lines() -> None:
    sizes = {
        f"{path}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in modules()
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert len(sizes) > 1000
    assert {name: lines for name, lines in sizes.items() if lines > FUNCTION_LINES} == {}
