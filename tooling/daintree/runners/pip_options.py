"""How pip is configured here: uv reads none of it, and who can `pip install` needs no more."""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path


def pip_options(environ: Mapping[str, str]) -> dict[str, str]:
    """pip's options by long name, e.g. "index-url": from its files and PIP_* variables, which win.

    The values may hold credentials. A file that cannot be read or parsed says nothing.
    """
    options: dict[str, str] = {}
    for path in _files(environ):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, OSError, UnicodeDecodeError):
            continue
        for section in ("global", "install"):
            if parser.has_section(section):
                options.update((_long(name), value) for name, value in parser.items(section))
    for name, value in sorted(environ.items()):
        if name.startswith("PIP_") and value:
            options[_long(name.removeprefix("PIP_"))] = value
    return options


def _long(name: str) -> str:
    return name.lower().replace("_", "-").removeprefix("default-")


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    """pip's configuration files, the ones that win last."""
    chosen = environ.get("PIP_CONFIG_FILE", "")
    if chosen == os.devnull:
        return
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    if sys.platform == "darwin":
        yield Path("/Library/Application Support/pip/pip.conf")
    for directory in reversed((environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")):
        yield Path(directory) / "pip" / "pip.conf"
    yield Path("/etc/pip.conf")
    yield home / ".pip" / "pip.conf"
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    if sys.platform == "darwin":
        yield home / "Library" / "Application Support" / "pip" / "pip.conf"
    yield Path(sys.prefix) / "pip.conf"
    if chosen:
        yield Path(chosen)
