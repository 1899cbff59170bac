"""A project whose pyproject.toml says its settings, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from daintree.errors import SettingsError
from daintree.settings import Settings, read_settings

HOME = {"HOME": "/home/somebody"}


def configured(root: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    """The settings of a project whose table in pyproject.toml has this text."""
    (root / "pyproject.toml").write_text(f"[tool.daintree]\n{text}\n", encoding="utf-8")
    return read_settings(root, {**HOME, **(environ or {})})


def complaint(root: Path, text: str, environ: dict[str, str] | None = None) -> SettingsError:
    """What is said of settings that are wrong."""
    with pytest.raises(SettingsError) as failure:
        configured(root, text, environ)
    return failure.value
