"""What a registry wants to see before it answers: a password with each request, or a token that it issues for one."""

from __future__ import annotations

import base64
import re
import threading
from urllib.parse import urlencode, urlsplit

import msgspec

from daintree.errors import RegistryError
from daintree.image.connection import Connections
from daintree.image.credentials import Credentials, stored_credentials

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
        self._asked = False
        self._stored: Credentials | None = None

    def header(self, scope: str) -> str:
        """What to send with a request of this scope, as far as is known yet; "" for nothing."""
        return self._tokens.get(scope) or self._always

    def challenged(self, challenge: str, scope: str) -> str:
        """What to send after the answer 401 with this challenge; "" when there is nothing to send.

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
        """Whether somebody has logged in."""
        return self._credentials is not None

    @property
    def _credentials(self) -> Credentials | None:
        # One thread asks the helper, which may open a keychain; the others wait.
        with self._lock:
            if not self._asked:
                self._stored = stored_credentials(self._host)
                self._asked = True
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
            found = _TOKEN.decode(answer.body) if answer.status == 200 else None
        except msgspec.DecodeError:
            found = None
        if found is None or not (found.token or found.access_token):
            raise RegistryError(
                f"the registry {self._host} gives no token: {realm.hostname} answers {answer.status}",
                hint=f"docker login {self._host}",
            )
        return found.token or found.access_token
