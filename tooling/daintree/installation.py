"""The command that installs this tooling again, with an extra or as it is, as it was installed the first time."""

from __future__ import annotations

import shlex
from pathlib import Path

from daintree import __version__

_CLONE = Path(__file__).parents[2]


def install_command(extra: str = "") -> str:
    """The command line that installs this tooling with an extra ("": without one), for a hint.

    In a clone it is `pip install -e .`; else it names the wheel or the repository that this installation came from.
    """
    extras = f"[{extra}]" if extra else ""
    if (_CLONE / "pyproject.toml").is_file() and (_CLONE / "tooling" / "daintree").is_dir():
        return f"pip install -e {shlex.quote('.' + extras)}"
    wheel = f"daintree-{__version__}-py3-none-any.whl"
    origin = _origin()
    if not origin:
        return f"pip install {shlex.quote(wheel + extras)}, with the path of your team's wheel"
    return f"pip install {shlex.quote(f'daintree{extras} @ {origin}')}"


def _origin() -> str:
    """The address that pip recorded for this installation (PEP 610); "" where it recorded none."""
    from importlib.metadata import PackageNotFoundError, distribution

    import msgspec

    try:
        recorded = distribution("daintree").read_text("direct_url.json") or "{}"
        direct = msgspec.json.decode(recorded, type=dict[str, object])
    except (PackageNotFoundError, msgspec.DecodeError):
        return ""
    url, vcs = str(direct.get("url", "")), direct.get("vcs_info")
    if not isinstance(vcs, dict) or not url:
        return url
    return f"{vcs.get('vcs')}+{url}@{vcs.get('commit_id')}"
