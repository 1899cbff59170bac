"""Authorization for a registry: a password with each request, or a token that it issues for one; logins of `docker`."""

from __future__ import annotations

import base64
import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from daintree.errors import RegistryError
from daintree.http_connection import Connections
from daintree.process import capture

# The name of Docker Hub in config.json.
_HUB = "https://index.docker.io/v1/"
_HUB_HOSTS = ("index.docker.io", "docker.io", "registry-1.docker.io")
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
    """The login for a host: DOCKER_AUTH_CONFIG's, else what `docker login HOST` has kept; None where there is none.

    Raises RegistryError when either cannot be read, or a credential helper fails.
    """
    environ = os.environ if environ is None else environ
    given = _entry_of(environment_auths(environ), host)
    if given is not None:
        return _from_entry(given)
    config = read_config(environ)
    names = (_HUB,) if host == "docker.io" else (host, f"https://{host}", f"https://{host}/v1/")
    helpers = _table(config, "credHelpers")
    helper = next((helpers[name] for name in names if name in helpers), config.get("credsStore"))
    if helper:
        credentials = _from_helper(str(helper), names[0])
        if credentials:
            return credentials
    entry = _entry_of(_table(config, "auths"), host)
    return None if entry is None else _from_entry(entry)


def _entry_of(auths: Mapping[str, Any], host: str) -> Mapping[str, Any] | None:
    """The login for a host, whose key may be any URL of it, as the `docker` command reads it; that of the host alone comes first."""
    hosts = _HUB_HOSTS if host == "docker.io" else (_host_of(host),)
    for key in sorted(auths, key=lambda key: key != host):
        if _host_of(key) in hosts and isinstance(auths[key], dict):
            return dict(auths[key])
    return None


def _host_of(key: str) -> str:
    return key.rpartition("://")[2].partition("/")[0]


def config_directory(environ: Mapping[str, str]) -> Path:
    """The directory of the `docker` command's configuration: DOCKER_CONFIG, or .docker in the user's home."""
    home = environ.get("HOME") or os.path.expanduser("~")
    return Path(environ.get("DOCKER_CONFIG") or os.path.join(home, ".docker"))


def environment_auths(environ: Mapping[str, str]) -> dict[str, Any]:
    """The logins in DOCKER_AUTH_CONFIG, by registry, in the form of config.json. Raises RegistryError when it is not JSON."""
    text = environ.get("DOCKER_AUTH_CONFIG", "")
    if not text:
        return {}
    try:
        config = msgspec.json.decode(text)
    except msgspec.DecodeError:
        raise RegistryError(
            "DOCKER_AUTH_CONFIG is not JSON", hint='such as {"auths": {"HOST": {"auth": "…"}}}'
        ) from None
    return _table(config, "auths") if isinstance(config, dict) else {}


def read_config(environ: Mapping[str, str]) -> dict[str, Any]:
    """The `docker` command's config.json; empty where there is none. Raises RegistryError when it cannot be read."""
    path = config_directory(environ) / "config.json"
    try:
        config = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise RegistryError(f"{path} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise RegistryError(f"{path} is not JSON", hint="mend it, or docker login again") from None
    return config if isinstance(config, dict) else {}


def merged_config(environ: Mapping[str, str]) -> dict[str, Any]:
    """The config.json in which the logins of DOCKER_AUTH_CONFIG win. Raises RegistryError when either cannot be read."""
    config, given = read_config(environ), environment_auths(environ)
    # For a registry with an empty helper the `docker` command looks into `auths`.
    helpers = {**_table(config, "credHelpers"), **dict.fromkeys(given, "")}
    return {**config, "auths": {**_table(config, "auths"), **given}, "credHelpers": helpers}


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
        # Its output is not repeated: it may hold what it should not.
        raise RegistryError(
            f"{program} gave no credentials for {server}", hint=f"docker login {server}"
        )
    user, secret = answer.get("Username", ""), answer["Secret"]
    return Credentials(identity_token=secret) if user == _TOKEN_USER else Credentials(user, secret)


_CLIENT = "daintree"
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


class _Token(msgspec.Struct):
    """A token server's answer; which of the two names it uses differs."""

    token: str = ""
    access_token: str = ""


# Made before there are threads: msgspec crashes where one meets a type that another is describing.
_TOKEN = msgspec.json.Decoder(_Token)


class Authorization:
    """The Authorization headers for one registry, learnt from its challenges. May be used from any number of threads."""

    def __init__(self, host: str, connections: Connections, *, plain_http: bool) -> None:
        self._host = host
        self._connections = connections
        self._plain_http = plain_http
        self._always = ""
        self._tokens: dict[str, str] = {}
        self._lock = threading.Lock()
        self._looked_up = False
        self._stored: Credentials | None = None

    def header(self, scope: str) -> str:
        """The header for a request of this scope, as far as it is known yet; "" for none."""
        return self._tokens.get(scope) or self._always

    def challenged(self, challenge: str, scope: str) -> str:
        """The header after the answer 401 with this challenge; "" when there is none to send.

        Raises RegistryError when the token server refuses or cannot be trusted with a password.
        """
        kind, _, rest = challenge.partition(" ")
        if kind.lower() == "basic":
            self._always = self._basic()
            return self._always
        if kind.lower() != "bearer":
            return ""
        token = self._fetched_token(dict(_PARAMETER.findall(rest)), scope)
        self._tokens[scope] = f"Bearer {token}"
        return self._tokens[scope]

    @property
    def has_credentials(self) -> bool:
        """True when somebody has logged in."""
        return self._credentials is not None

    @property
    def _credentials(self) -> Credentials | None:
        # One thread runs the helper, which may open a keychain; the others wait.
        with self._lock:
            if not self._looked_up:
                self._stored = stored_credentials(self._host)
                self._looked_up = True
            return self._stored

    def _basic(self) -> str:
        known = self._credentials
        if known is None or not known.user:
            return ""
        pair = f"{known.user}:{known.password}".encode()
        return "Basic " + base64.b64encode(pair).decode("ascii")

    def _fetched_token(self, challenge: dict[str, str], scope: str) -> str:
        realm = urlsplit(challenge.get("realm", ""))
        if realm.scheme != "https" and not (realm.scheme == "http" and self._plain_http):
            raise RegistryError(
                f"the registry {self._host} sends its callers to a token server without TLS",
                hint="no password is sent there",
            )
        fields = {"service": challenge.get("service", ""), "scope": scope}
        known = self._credentials
        if known is not None and known.identity_token:
            form = {
                **fields,
                "grant_type": "refresh_token",
                "refresh_token": known.identity_token,
                "client_id": _CLIENT,
            }
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            body = urlencode(form).encode()
            answer = self._connections.ask("POST", realm.geturl(), kind, body)
        else:
            basic = self._basic()
            url = realm._replace(query="&".join(filter(None, (realm.query, urlencode(fields)))))
            headers = {"Authorization": basic} if basic else {}
            answer = self._connections.ask("GET", url.geturl(), headers)
        try:
            token = _TOKEN.decode(answer.body) if answer.status == 200 else None
        except msgspec.DecodeError:
            token = None
        if token is None or not (token.token or token.access_token):
            raise RegistryError(
                f"the registry {self._host} gives no token: {realm.hostname} answers {answer.status}",
                hint=f"docker login {self._host}",
            )
        return token.token or token.access_token
