"""Digests: SHA-256 of domain-tagged, versioned records, written `sha256:<64 hex>`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

Plain: TypeAlias = "bool | int | float | str | Sequence[Plain] | Mapping[str, Plain] | None"

ALGORITHM = "sha256"


def digest_record(domain: str, version: int, record: Plain) -> str:
    """The digest of `record` as a `domain` record of format `version`.

    Equal records give equal digests on every platform and Python version; records of different
    domains or format versions never do. Mappings are unordered, sequences are ordered, and
    1, 1.0, "1" and True are four different values.

    Raises ValueError for NaN and infinities, TypeError for anything that is not plain.
    """
    body = json.dumps(
        record, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    tagged = f"daintree:{domain}:{version}\n{body}".encode("ascii")
    return f"{ALGORITHM}:{hashlib.sha256(tagged).hexdigest()}"


def digest_file(path: Path) -> str:
    """The SHA-256 of a file's bytes as 64 hex digits. Raises OSError as reading it does."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, ALGORITHM).hexdigest()


def digest_files(paths: Iterable[Path]) -> list[str]:
    """`digest_file` of each path, in order, on as many threads as there are cores."""
    ordered = list(paths)
    if len(ordered) < 2:
        return [digest_file(path) for path in ordered]
    # Imported here: it brings in logging, which a run with nothing to hash need not pay for.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(digest_file, ordered))


def short(digest: str, length: int = 20) -> str:
    """The first `length` hex digits of a digest, for paths, tags and screens."""
    return digest.removeprefix(f"{ALGORITHM}:")[:length]
