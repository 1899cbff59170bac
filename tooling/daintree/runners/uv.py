"""Calling uv: where it is, what it may learn from the environment, what its failures mean."""

from __future__ import annotations

import configparser
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from daintree.errors import EnvironmentFailed
from daintree.process import Finished, capture


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


# Where packages come from and how they get here is the user's to say; which ones, only the
# requirements': no file of uv's is read, and these settings of it alone are passed on.
_PASSED = (
    "UV_CACHE_DIR", "UV_CONCURRENT_", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_HTTP_",
    "UV_INDEX", "UV_INSECURE_HOST", "UV_KEYRING_PROVIDER", "UV_LINK_MODE", "UV_NATIVE_TLS", "UV_NO_CACHE",
    "UV_OFFLINE", "UV_PYTHON_INSTALL_DIR", "UV_REQUEST_TIMEOUT", "UV_SYSTEM_CERTS",
)  # fmt: skip
_SCRUBBED = ("UV_", "PYTHON", "DAINTREE_", "GIT_", "VIRTUAL_ENV", "CONDA_PREFIX")

# pip's options that uv reads under other names only. uv's own win where one of them is set.
_FROM_PIP: Mapping[str, tuple[str, ...]] = {
    "index-url": ("UV_INDEX_URL", "UV_DEFAULT_INDEX"),
    "extra-index-url": ("UV_EXTRA_INDEX_URL", "UV_INDEX"),
    "find-links": ("UV_FIND_LINKS",),
    "cert": ("SSL_CERT_FILE",),
    "client-cert": ("SSL_CLIENT_CERT",),
    "trusted-host": ("UV_INSECURE_HOST",),
    "timeout": ("UV_HTTP_TIMEOUT", "UV_REQUEST_TIMEOUT"),
    "no-index": ("UV_OFFLINE",),
    "proxy": ("ALL_PROXY", "HTTPS_PROXY", "https_proxy", "all_proxy"),
}

# Settings of the user's uv.toml that are passed on, and the variable of each.
_FROM_UV: Mapping[str, str] = {
    "index-url": "UV_INDEX_URL",
    "extra-index-url": "UV_EXTRA_INDEX_URL",
    "find-links": "UV_FIND_LINKS",
    "index-strategy": "UV_INDEX_STRATEGY",
    "keyring-provider": "UV_KEYRING_PROVIDER",
    "allow-insecure-host": "UV_INSECURE_HOST",
    "native-tls": "UV_NATIVE_TLS",
    "system-certs": "UV_SYSTEM_CERTS",
    "offline": "UV_OFFLINE",
    "no-index": "UV_OFFLINE",
    "cache-dir": "UV_CACHE_DIR",
    "link-mode": "UV_LINK_MODE",
}

_NO_SPACE = "free some space there, or choose another directory (DAINTREE_ENVIRONMENTS)"
_INCOMPLETE = "requirements.txt must be complete and with hashes: `doit lock` writes it so"
_STRATEGY = "the first index that has a package is asked alone; UV_INDEX_STRATEGY=unsafe-best-match asks all of them"
_CREDENTIALS = "the package index refuses: check its address and the credentials"
_LATER = "the package index has trouble: run it again later"
_ACCESS_HINTS = (
    ("No space left on device", _NO_SPACE),
    ("Disk quota exceeded", _NO_SPACE),
    ("initialize cache", "name a directory that you may write to in UV_CACHE_DIR"),
    ("`--find-links` directory", "find-links of uv or pip (UV_FIND_LINKS, pip.conf) is missing"),
    ("environment variable `", "correct this variable, or unset it"),
    ("Permission denied", "check who may write there, or choose another directory"),
    ("Read-only file system", "choose a directory that can be written to"),
    ("network was disabled", "unset UV_OFFLINE, or go online once"),
    ("401 Unauthorized", "the package index wants credentials"),
    ("403 Forbidden", _CREDENTIALS),
    ("407 Proxy", "the proxy wants credentials: name them in HTTPS_PROXY"),
    ("proxy authorization", "the proxy wants credentials: name them in HTTPS_PROXY"),
    ("429 Too Many", "the package index takes no more requests for now: run it again later"),
    ("HTTP status server error", _LATER),
    (
        "certificate: Expired",
        "the certificate has expired: check this machine's clock, or renew it",
    ),
    ("certificate: NotValidForName", "use the name that the certificate is made out to"),
    ("invalid peer certificate", "SSL_CERT_FILE names a file of the authorities that you trust"),
    ("InvalidContentType", "no https is spoken there: write http:// in the address"),
    ("timed out", "run it again; UV_HTTP_TIMEOUT=120 waits longer"),
    ("Failed to fetch", "check the network and the proxy and index settings"),
    (
        "not found in the package registry",
        "check its name; UV_INDEX_URL or pip.conf name another index",
    ),
    ("--index-strategy", _STRATEGY),
)
_INSTALL_HINTS = (
    ("Hash mismatch", "the index serves other bytes than were locked: find out why, or lock anew"),
    ("`--require-hashes` mode", _INCOMPLETE),
    ("Hash-checking is required", _INCOMPLETE),
    ("no wheels with a matching", "use another Python, or lock a version that has a wheel for it"),
    ("Failed to build", "there is no wheel for this Python and platform: lock another version"),
    ("no version of", "the package index has no such version: check its settings, or lock anew"),
    ("are unsatisfiable", "its lines contradict each other, or this Python: lock anew"),
    ("Couldn't parse requirement", "`doit lock` writes requirements.txt from requirements.in"),
)
_LAST_LINES = 20
# Each to the next, or to the end: they have paragraphs.
_HINT = re.compile(r"(?ms)^[^\S\n]*hint:.*?(?=^[^\S\n]*hint:|\Z)")
# Options of uv's own, and settings that no environment here reads.
_NOT_OURS = re.compile(r"`--|`uv |\[tool\.uv")


def run_uv(
    arguments: Sequence[str | Path], *, cwd: Path | None = None, pass_fds: Sequence[int] = ()
) -> Finished:
    """Run uv to its end, with the user's settings (pip's, too) for indexes, certificates, caches.

    Raises EnvironmentFailed when there is no uv.
    """
    environ = {**uv_file_settings(os.environ), **os.environ}
    env = uv_variables(environ, pip_options(os.environ))
    return capture([uv_program(), *arguments], cwd=cwd, env=env, pass_fds=pass_fds)


def complaint(failed: Finished) -> str:
    """The end of what uv says on a failure, without credentials, and without its advice about options and settings of its own."""
    text = re.sub(r"://[^/@\s]*@", "://", failed.complaint())
    text = _HINT.sub(lambda hint: "" if _NOT_OURS.search(hint[0]) else hint[0], text)
    lines = [
        line for line in text.splitlines() if not line.startswith(("Using Python", "Resolved "))
    ]
    return "\n".join(lines[-_LAST_LINES:]).strip("\n") or f"uv ended with exit code {failed.code}"


def access_hint(message: str) -> str:
    """The hint for a failure of uv's to get at packages or at the disk; "" for all else."""
    return _hint(message, _ACCESS_HINTS)


def install_hint(message: str) -> str:
    """The hint for a failure of uv's to install a locked file; "" where none is known."""
    return _hint(message, _ACCESS_HINTS + _INSTALL_HINTS)


def uv_file_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings of the user's and the machine's uv.toml that say where packages come from, as variables of uv.

    All else in them would make an environment depend on the machine. A file that cannot be read or parsed says nothing.
    """
    settings: dict[str, str] = {}
    for path in _uv_files(environ):
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        table |= table["pip"] if isinstance(table.get("pip"), dict) else {}
        for name, variable in _FROM_UV.items():
            value = table.get(name, False)
            words = list(map(str, value)) if isinstance(value, list) else [str(value)]
            if value is not False:
                joined = ("," if name == "find-links" else " ").join(words)
                settings[variable] = "1" if value is True else joined
        indexes = table.get("index")
        for index in indexes if isinstance(indexes, list) else ():
            if isinstance(index, dict) and index.get("url"):
                named = f"{index['name']}={index['url']}" if index.get("name") else index["url"]
                if index.get("default"):
                    settings["UV_DEFAULT_INDEX"] = named
                else:
                    settings["UV_INDEX"] = f"{settings.get('UV_INDEX', '')} {named}".strip()
    return settings


def _uv_files(environ: Mapping[str, str]) -> Iterator[Path]:
    """uv's configuration files of the machine and the user, the one that wins last."""
    if environ.get("UV_NO_CONFIG"):
        return
    chosen = environ.get("UV_CONFIG_FILE", "")
    if chosen:
        yield Path(chosen)
        return
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    yield Path("/etc/uv/uv.toml")
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "uv" / "uv.toml"


def _hint(message: str, hints: Sequence[tuple[str, str]]) -> str:
    return next((advice for sign, advice in hints if sign in message), "")


def uv_variables(environ: Mapping[str, str], pip: Mapping[str, str]) -> dict[str, str]:
    """The variables for uv: `environ` less what would change its results, plus pip's settings.

    `pip` has pip's options by their long names. An option counts where uv has no setting of its own
    for it.
    """
    variables = {
        name: value
        for name, value in environ.items()
        if name.startswith(_PASSED) or not name.startswith(_SCRUBBED)
    }
    for option, names in _FROM_PIP.items():
        value = _for_uv(option, pip.get(option, ""))
        if value and not any(environ.get(name) for name in names):
            variables[names[0]] = value
    return {**variables, "NO_COLOR": "1", "UV_NO_CONFIG": "1", "UV_NO_PROGRESS": "1"}


def _for_uv(option: str, value: str) -> str:
    if option == "find-links":
        # uv fails for a directory that is missing, pip does not; and uv separates by commas.
        places = [place for place in value.split() if "://" in place or os.path.isdir(place)]
        return ",".join(places)
    if option == "no-index":
        return "1" if value.lower() in ("1", "true", "yes", "on", "y", "t") else ""
    return " ".join(value.split())


def uv_program() -> str:
    """The path of uv. Raises EnvironmentFailed where it is not installed beside the tooling."""
    try:
        from uv import find_uv_bin

        return find_uv_bin()
    except (ImportError, FileNotFoundError):
        from daintree.settings import install_command

        raise EnvironmentFailed(
            f"uv is missing in the environment of {sys.executable}",
            hint=f"install the tooling again: {install_command()}",
        ) from None
