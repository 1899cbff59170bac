"""An input that a URL gives: one file, fetched before the stage starts."""

import re
import socket
from pathlib import Path

from .errors import StageError

URL = re.compile(r"(https?://(?:\[[0-9a-f:]+\]|[^/?#@:]+)(?::\d+)?(?:/[^?#]*)?)(?:[?#].*)?", re.I)


def fetch(url: str, directory: Path) -> Path:
    """The file that `url` gives, in `directory` under the name that it has there.

    Raises StageError when it cannot be fetched, without its query, which may be secret.
    """
    from http.client import HTTPException
    from urllib.request import urlretrieve

    if not (public := URL.fullmatch(url)):
        raise StageError("--input: a URL is http(s)://HOST/PATH, with no user", "fetch it first")
    target = directory / (public[1].rpartition("/")[2][-100:].strip(".") or "download")
    socket.setdefaulttimeout(60)
    try:
        urlretrieve(url, target)
    except (OSError, HTTPException, ValueError) as error:
        reason = str(error).strip("<>") if isinstance(error, OSError) else type(error).__name__
        raise StageError(f"{public[1]}: cannot be fetched: {reason}", "check the URL") from None
    return target
