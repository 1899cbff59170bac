"""Credentials of registries, as `docker login` keeps them: in docker's config.json, or with a credential helper it names."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from daintree.errors import RegistryError
from daintree.process import capture

# What Docker Hub is called in config.json.
_HUB = "https://index.docker.io/v1/"
_TOKEN_USER = "<token>"


class Credentials(msgspec.Struct, frozen=True):
    """A user's name and password, or the identity token that stands for both. Never shown."""

    user: str = ""
    password: str = ""
    identity_token: str = ""

    def __repr__(self) -> str:
        return "Credentials(…)"

    def for_engine(self, host: str) -> dict[str, str]:
        """In the form that the Docker engine takes them for its own requests to `host`."""
        if self.identity_token:
            return {"identitytoken": self.identity_token, "serveraddress": host}
        return {"username": self.user, "password": self.password, "serveraddress": host}


def stored_credentials(host: str, environ: Mapping[str, str] | None = None) -> Credentials | None:
    """What `docker login HOST` has kept; None when nobody has logged in there.

    Raises RegistryError when config.json cannot be read, or its credential helper fails.
    """
    config = _config(os.environ if environ is None else environ)
    names = (_HUB,) if host == "docker.io" else (host, f"https://{host}", f"https://{host}/v1/")
    helpers, auths = _table(config, "credHelpers"), _table(config, "auths")
    helper = next((helpers[name] for name in names if name in helpers), config.get("credsStore"))
    if helper:
        found = _from_helper(str(helper), names[0])
        if found:
            return found
    for name in names:
        if isinstance(auths.get(name), dict):
            return _from_entry(auths[name])
    return None


def _config(environ: Mapping[str, str]) -> dict[str, Any]:
    directory = environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")
    path = Path(directory, "config.json")
    try:
        config = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise RegistryError(f"{path} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise RegistryError(f"{path} is not JSON", hint="mend it, or docker login again") from None
    return config if isinstance(config, dict) else {}


def _table(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = config.get(name)
    return table if isinstance(table, dict) else {}


def _from_entry(entry: Mapping[str, Any]) -> Credentials | None:
    if entry.get("identitytoken"):
        return Credentials(identity_token=str(entry["identitytoken"]))
    if entry.get("username"):
        return Credentials(str(entry["username"]), str(entry.get("password", "")))
    try:
        pair = base64.b64decode(str(entry.get("auth", ""))).decode("utf-8")
    except ValueError:
        return None
    user, colon, password = pair.partition(":")
    return Credentials(user, password.rstrip("\0")) if colon else None


def _from_helper(helper: str, server: str) -> Credentials | None:
    program = f"docker-credential-{os.path.basename(helper)}"
    try:
        done = capture([program, "get"], stdin=server.encode())
    except OSError as error:
        raise RegistryError(
            f"docker's config.json names the credential helper {program}: {error.strerror}",
            hint=f"install {program}, or take it out of config.json and docker login again",
        ) from None
    # Helpers print this on stdout, and end with 1, when they know nothing of the server.
    if done.code != 0 and b"credentials not found" in done.stdout + done.stderr:
        return None
    try:
        answer = msgspec.json.decode(done.stdout, type=dict[str, str]) if done.code == 0 else {}
    except msgspec.DecodeError:
        answer = {}
    if "Secret" not in answer:
        # What it said is not repeated: it may hold what it should not.
        raise RegistryError(
            f"{program} gave no credentials for {server}", hint=f"docker login {server}"
        )
    user, secret = answer.get("Username", ""), answer["Secret"]
    return Credentials(identity_token=secret) if user == _TOKEN_USER else Credentials(user, secret)
