"""How the server of an s3:// bucket is reached and with which key: MINIO_* variables, then the way AWS's own tools look.

    MINIO_ENDPOINT, MINIO_ACCESS_KEY, MINIO_SECRET_KEY
    AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_DEFAULT_REGION
    the profile AWS_PROFILE in ~/.aws/credentials and ~/.aws/config (or AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE)

Where none of these holds a key, the machine's role is left: `access_key` is empty.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from daintree.errors import SettingsError

DEFAULT_REGION = "us-east-1"
# With one of these a machine of a cloud says where its role's credentials come from.
ROLE_VARIABLES = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


class S3Access(msgspec.Struct, frozen=True, kw_only=True):
    """An S3 server and a key for it. `endpoint` is a URL, "" for AWS's own; `role` says that a role may give a key.

    Shown or printed, it hides the secrets.
    """

    endpoint: str
    region: str
    access_key: str
    secret_key: str
    session_token: str = ""
    role: bool = False

    def __repr__(self) -> str:
        return f"S3Access({self.server})"

    @property
    def server(self) -> str:
        """The server in words."""
        return self.endpoint or f"AWS S3 ({self.region})"


def read_s3_access(environ: Mapping[str, str] | None = None) -> S3Access:
    """What the environment and AWS's files say. Raises SettingsError for an endpoint that is no URL of a server."""
    environ = os.environ if environ is None else environ
    profile = _Profile(environ)
    names = ("MINIO_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    variable = next((name for name in names if environ.get(name)), "")
    endpoint = _endpoint(environ[variable] if variable else profile.get("endpoint_url"), variable)
    access, secret, token = _key(environ, profile)
    return S3Access(
        endpoint=endpoint,
        region=environ.get("AWS_REGION")
        or environ.get("AWS_DEFAULT_REGION")
        or profile.get("region")
        or DEFAULT_REGION,
        access_key=access,
        secret_key=secret,
        session_token=token,
        role=not endpoint or any(environ.get(name) for name in ROLE_VARIABLES),
    )


def _key(environ: Mapping[str, str], profile: _Profile) -> tuple[str, str, str]:
    """(access key, secret key, session token) from the first place that has a key; they are never mixed."""
    for access, secret, token in (
        ("MINIO_ACCESS_KEY", "MINIO_SECRET_KEY", ""),
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    ):
        if environ.get(access):
            return environ[access], environ.get(secret, ""), environ.get(token, "")
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    first, second, third = (profile.get(name) for name in names)
    return first, second, third


def _endpoint(text: str, place: str) -> str:
    """The endpoint as a URL without an end slash; one without a scheme, as MinIO's own tools take it, is http."""
    if not text:
        return ""
    url = text if "://" in text else f"http://{text}"
    place = place or "endpoint_url in AWS's config file"
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    # What is wrong may hold a password: it is not repeated.
    if not sound or "@" in url or parts.query or parts.fragment:
        raise SettingsError(
            f"{place} is no address of a server",
            hint="write http://host:port or https://host; keys go into MINIO_ACCESS_KEY and MINIO_SECRET_KEY",
        )
    return url.rstrip("/")


class _Profile:
    """A profile of AWS's two files, which are read when they are first needed; missing and broken files hold nothing."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._name = environ.get("AWS_PROFILE") or "default"
        home = Path(environ.get("HOME") or os.path.expanduser("~"))
        self._files = (
            (environ.get("AWS_SHARED_CREDENTIALS_FILE") or home / ".aws/credentials", self._name),
            (environ.get("AWS_CONFIG_FILE") or home / ".aws/config", self._section()),
        )
        self._values: dict[str, str] | None = None

    def get(self, name: str) -> str:
        """A value of the profile; "" where there is none."""
        if self._values is None:
            self._values = {}
            for path, section in self._files:
                if os.path.exists(path):
                    self._values = {**_section(path, section), **self._values}
        return self._values.get(name, "")

    def _section(self) -> str:
        return "default" if self._name == "default" else f"profile {self._name}"


def _section(path: str | Path, section: str) -> dict[str, str]:
    import configparser

    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
        return dict(parser.items(section)) if parser.has_section(section) else {}
    except (configparser.Error, OSError, UnicodeDecodeError):
        return {}
