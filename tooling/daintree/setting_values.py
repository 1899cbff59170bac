"""What the value of a setting may be: one reader for each kind, from what a file or the environment says.

Each takes what is given and the directory that a relative path in it starts at, and raises ValueError in words
that fit between the setting's place and the value.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_SEGMENT = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_REGISTRY = re.compile(rf"(?:[a-z0-9][a-z0-9.-]*|\[[0-9a-f:]+\])(?::\d+)?(?:/{_SEGMENT})*")
_KUBERNETES_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
PREFIX_FIELDS = ("component", "version", "year", "month", "day", "timestamp")


def read_text(value: Any, base: Path) -> str:
    """Any text but an empty one."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("expected text")
    return value


def read_directory(value: Any, base: Path) -> Path:
    """A directory, absolute."""
    return Path(os.path.abspath(base / os.path.expanduser(read_text(value, base))))


def read_store(value: Any, base: Path) -> str:
    """A directory, or a URL as it stands."""
    text = read_text(value, base)
    return text if "://" in text else str(read_directory(text, base))


def read_unavailable(value: Any, base: Path) -> str:
    """`fail` or `local`."""
    if value not in ("fail", "local"):
        raise ValueError("expected fail or local")
    return str(value)


def read_count(value: Any, base: Path) -> int:
    """A whole number from 1 to 999."""
    if isinstance(value, bool) or not str(value).isdecimal() or not 0 < int(value) < 1000:
        raise ValueError("expected a whole number from 1 to 999")
    return int(value)


def read_platform(value: Any, base: Path) -> str:
    """os/architecture."""
    text = read_text(value, base)
    if not 2 <= len(text.split("/")) <= 3 or not all(text.split("/")):
        raise ValueError("expected os/architecture, such as linux/amd64")
    return text


def read_registry(value: Any, base: Path) -> str:
    """A registry's host, port and path."""
    text = read_text(value, base).rstrip("/")
    host = text.partition("/")[0]
    # Docker takes a first part without any of these for a name on Docker Hub.
    if not _REGISTRY.fullmatch(text) or not ({".", ":"} & set(host) or host == "localhost"):
        raise ValueError("expected host[:port][/path] in small letters, without https://")
    return text


def read_switch(value: Any, base: Path) -> bool:
    """true or false."""
    if str(value).lower() not in ("true", "false"):
        raise ValueError("expected true or false")
    return str(value).lower() == "true"


def read_prefix(value: Any, base: Path) -> str:
    """A place in the store, with fields that each run fills in."""
    text = read_text(value, base)
    segments = text.split("/")
    if (
        "{timestamp}" not in text
        or "{component}" not in text
        or not {"", ".", ".."}.isdisjoint(segments)
    ):
        raise ValueError("expected a relative path with {component} and {timestamp} in it")
    if text.startswith("_"):
        raise ValueError("expected a path that does not begin with _, as the store's own places do")
    for field in PREFIX_FIELDS:
        text = text.replace("{" + field + "}", "")
    if "{" in text or "}" in text:
        raise ValueError("expected only the fields " + ", ".join(PREFIX_FIELDS))
    return str(value)


def read_seconds(value: Any, base: Path) -> int:
    """A whole number of seconds, at least 1."""
    if isinstance(value, bool) or not str(value).isdecimal() or int(value) < 1:
        raise ValueError("expected a whole number of seconds")
    return int(value)


def read_kubernetes_name(value: Any, base: Path) -> str:
    """What Kubernetes takes for the name of a namespace or a secret."""
    if not isinstance(value, str) or not _KUBERNETES_NAME.fullmatch(value):
        raise ValueError("expected small letters, digits and -, at most 63")
    return value


def read_endpoint(value: Any, base: Path) -> str:
    """The URL of a server, without anything else in it."""
    text = read_text(value, base).rstrip("/")
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in text or parts.path:
        raise ValueError("expected http://host:port or https://host")
    return text


def read_labels(value: Any, base: Path) -> dict[str, str]:
    """Labels and their values: a table, or `label=value,…`."""
    if isinstance(value, str):
        value = dict(pair.partition("=")[::2] for pair in value.split(",") if pair)
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError("expected a table of label = text")
    return dict(value)


def read_bases(value: Any, base: Path) -> dict[str, str]:
    """Pins of base images by reference: a table, or `image=digest,…`."""
    if isinstance(value, str):
        value = dict(pair.partition("=")[::2] for pair in value.split(",") if pair)
    if not isinstance(value, dict):
        raise ValueError("expected a table of image = digest")
    pins: dict[str, str] = {}
    for image, digest in value.items():
        hexadecimal = str(digest).removeprefix("sha256:")
        if len(hexadecimal) != 64 or any(digit not in "0123456789abcdef" for digit in hexadecimal):
            raise ValueError(f"the pin of {image} must be sha256:<64 hex digits>")
        pins[image] = f"sha256:{hexadecimal}"
    return pins
