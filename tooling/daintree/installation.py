"""The command that installs this tooling again, with an extra or as it is, as it was installed the first time."""

from __future__ import annotations

import shlex
from pathlib import Path

from daintree import __version__

_CLONE = Path(__file__).parents[2]


def clone() -> Path | None:
    """The clone of this tooling's repository that it runs in; None where it was installed from a wheel."""
    return _CLONE if (_CLONE / "tooling" / "daintree").is_dir() else None


def install_command(extra: str = "") -> str:
    """The command line that installs this tooling with an extra ("": without one), for a hint.

    In a clone it is `pip install -e .`; else it names the wheel or the repository that this installation came from.
    """
    extras = f"[{extra}]" if extra else ""
    if clone():
        return f"pip install -e {shlex.quote('.' + extras)}"
    wheel = f"daintree-{__version__}-py3-none-any.whl"
    origin = installed_from()
    if not origin:
        return f"pip install {shlex.quote(wheel + extras)}, with the path of your team's wheel"
    return f"pip install {shlex.quote(f'daintree{extras} @ {origin}')}"


def installed_from() -> str:
    """The address that this installation recorded (PEP 610), as a requirement names it; "" where it recorded none.

    With the commit of a repository, and the digest of a wheel if the installer recorded it.
    """
    from importlib.metadata import distributions

    import msgspec

    # Beside a clone's pyproject.toml there is a second one, without a record; elsewhere one may be of another installation.
    here = Path(__file__).parent
    distributions_here = [
        d for d in distributions(name="daintree") if clone() or d.locate_file(here.name) == here
    ]
    records = [distribution.read_text("direct_url.json") for distribution in distributions_here]
    try:
        direct = msgspec.json.decode(next(filter(None, records), "{}"), type=dict[str, object])
    except msgspec.DecodeError:
        return ""
    url, vcs, archive = (
        str(direct.get("url", "")),
        direct.get("vcs_info"),
        direct.get("archive_info"),
    )
    fragments = []
    if url and isinstance(vcs, dict):
        url = f"{vcs.get('vcs')}+{url}@{vcs.get('commit_id')}"
    if isinstance(archive, dict) and isinstance(hashes := archive.get("hashes"), dict):
        fragments = [f"{name}={digest}" for name, digest in hashes.items() if name == "sha256"]
    if direct.get("subdirectory"):
        fragments.append(f"subdirectory={direct['subdirectory']}")
    return "#".join([url, "&".join(fragments)]) if url and fragments else url
