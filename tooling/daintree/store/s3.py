"""Access to S3: addresses, and the one place that resolves which server, which key and which certificates, for the tooling and for stages alike.

    MINIO_ENDPOINT, MINIO_ACCESS_KEY, MINIO_SECRET_KEY
    AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SECURITY_TOKEN, AWS_SESSION_TOKEN, AWS_REGION, AWS_DEFAULT_REGION
    AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE, SSL_CERT_FILE; AWS_VIRTUAL_HOSTED_STYLE_REQUEST
    the profile AWS_PROFILE of AWS's own files, with SSO, roles and credential processes

The first one that is set counts, from top to bottom and from left to right. The files are read by botocore, which is imported only where the
variables leave something open. Where nothing holds a key, the machine's role is left: `access_key` is empty.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import msgspec

from daintree.errors import SettingsError, StoreError, StoreUnavailable

DEFAULT_REGION = "us-east-1"
SCHEME = "s3://"
NO_KEYS_HERE = "keys come from MINIO_ACCESS_KEY and MINIO_SECRET_KEY, or from AWS's own settings"
CHECK_KEYS = "check MINIO_ACCESS_KEY and MINIO_SECRET_KEY, or the AWS credentials"
ENDPOINT_VARIABLES = ("MINIO_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
CA_VARIABLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
VIRTUAL_HOST_VARIABLE = "AWS_VIRTUAL_HOSTED_STYLE_REQUEST"
_PROFILE_VARIABLES = ("AWS_DEFAULT_PROFILE", "AWS_PROFILE")
_TOKEN_VARIABLES = ("AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN")
_IGNORE_VARIABLE = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"
_FILE_VARIABLES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
# With one of these a machine of a cloud says where its role's credentials come from.
ROLE_VARIABLES = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
# Amazon's rules for the names of buckets, which other servers keep as well.
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
Key = tuple[str, str, str]


class ObjectAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Address of an object, or of all objects below a key, for programs that are told it: `endpoint` is "" for AWS's own server."""

    endpoint: str
    region: str
    bucket: str
    key: str

    @property
    def host(self) -> str:
        region = self.region or DEFAULT_REGION
        return urlsplit(self.endpoint).netloc or f"s3.{region}.amazonaws.com"

    @property
    def insecure(self) -> bool:
        return self.endpoint.startswith("http://")

    def below(self, path: str) -> ObjectAddress:
        """The address of what lies at a path below this one."""
        return msgspec.structs.replace(self, key=f"{self.key}/{path}".lstrip("/"))


def object_address(url: str, endpoint: str, region: str) -> ObjectAddress:
    """The address of s3://bucket[/key] on a server."""
    bucket, _, key = url.removeprefix(SCHEME).partition("/")
    return ObjectAddress(endpoint=endpoint, region=region, bucket=bucket, key=key.strip("/"))


def is_plain(name: str, prefix: str) -> bool:
    """True for a bucket's name and a prefix alone; anything more may be a password or a signature.

    So whoever refuses them does not repeat them.
    """
    return _BUCKET_NAME.fullmatch(name) is not None and "?" not in prefix


class S3Access(msgspec.Struct, frozen=True, kw_only=True):
    """An S3 server and a key for it. `endpoint` is a URL, "" for AWS's own; `role` says that a role may give a key.

    `ca_bundle` is a file of trusted certificates, "" for the system's; `virtual_host` puts the bucket into the host name. `refresh` returns the
    key anew, where it is one that expires. Shown or printed, it hides the secrets.
    """

    endpoint: str
    region: str
    access_key: str
    secret_key: str
    session_token: str = ""
    role: bool = False
    ca_bundle: str = ""
    virtual_host: bool = False
    refresh: Callable[[], Key] | None = None

    def __repr__(self) -> str:
        return f"S3Access({self.server})"

    @property
    def server(self) -> str:
        return self.endpoint or f"AWS S3 ({self.region})"

    @property
    def checksums(self) -> str:
        """When boto3 sends and asks for checksums: only where an operation needs them, at servers that are not AWS's and may not know them."""
        host = urlsplit(self.endpoint).hostname or "amazonaws.com"
        return "when_supported" if host.endswith("amazonaws.com") else "when_required"

    def variables(self, environ: Mapping[str, str], ca_bundle: str = "") -> dict[str, str]:
        """The variables by which a program of another maker, boto3 above all, gets the same access; `ca_bundle` is the file's path as it sees it.

        The result holds the key: never to be shown or recorded.
        """
        passed = {n: v for n, v in environ.items() if n.startswith(("AWS_", "MINIO_"))}
        # What botocore would look at besides: an ignored address would be used, or the resolved one ignored.
        unwanted = (_IGNORE_VARIABLE,) if self.endpoint else ENDPOINT_VARIABLES
        # A profile is resolved here: elsewhere its files are not.
        for name in (
            *_PROFILE_VARIABLES,
            *_FILE_VARIABLES,
            *_TOKEN_VARIABLES,
            *unwanted,
            "AWS_CA_BUNDLE",
        ):
            passed.pop(name, None)
        resolved = {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "MINIO_ENDPOINT": self.endpoint,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_SESSION_TOKEN": self.session_token,
            # These have no token.
            "MINIO_ACCESS_KEY": "" if self.session_token else self.access_key,
            "MINIO_SECRET_KEY": "" if self.session_token else self.secret_key,
            VIRTUAL_HOST_VARIABLE: "true" if self.virtual_host else "",
            "AWS_CA_BUNDLE": ca_bundle or self.ca_bundle,
        }
        for name in ("AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION"):
            resolved[name] = environ.get(name) or self.checksums
        if self.session_token:
            passed.pop("MINIO_ACCESS_KEY", None)
            passed.pop("MINIO_SECRET_KEY", None)
        return {**passed, **{name: value for name, value in resolved.items() if value}}


def read_s3_access(environ: Mapping[str, str] | None = None) -> S3Access:
    """The access that the environment and AWS's files name.

    Raises SettingsError for an endpoint that is no URL of a server, and for files and profiles that cannot be read or give no key, and for half a key.
    """
    environ = os.environ if environ is None else environ
    named = next((name for name in ENDPOINT_VARIABLES if environ.get(name)), "")
    minio = named == ENDPOINT_VARIABLES[0]
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or ""
    key, refresh = _key(environ), None
    profile = _Profile()
    resolved = key and (minio or (named and region and not _adds_to_variables(environ)))
    if not resolved and _names_files(environ):
        profile, credentials = _read_profile(environ, with_key=key is None)
        if credentials is not None:
            refresh = partial(_frozen, credentials, environ)
            key = refresh()
    ignored = environ.get(_IGNORE_VARIABLE, profile.ignore_endpoints).lower() == "true"
    variable = "" if ignored and not minio else named
    endpoint = environ.get(variable) or ("" if ignored else profile.endpoint)
    access, secret, token = key or ("", "", "")
    return S3Access(
        endpoint=_endpoint(endpoint, variable),
        region=region or profile.region or DEFAULT_REGION,
        access_key=access,
        secret_key=secret,
        session_token=token,
        role=not endpoint or any(environ.get(name) for name in ROLE_VARIABLES),
        ca_bundle=_ca_bundle(environ, profile),
        virtual_host=_virtual_host(environ, profile),
        refresh=refresh if token else None,
    )


def _key(environ: Mapping[str, str]) -> Key | None:
    """(access key, secret key, session token) from the first place that has a key; they are never mixed. Raises SettingsError for half of one."""
    for access, secret, tokens in (
        ("MINIO_ACCESS_KEY", "MINIO_SECRET_KEY", ()),
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", _TOKEN_VARIABLES),
    ):
        if environ.get(access):
            if not environ.get(secret):
                raise SettingsError(f"{access} is set, and {secret} is not", hint=f"set {secret}")
            token = next(filter(None, map(environ.get, tokens)), "")
            return environ[access], environ[secret], token
    return None


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


def _ca_bundle(environ: Mapping[str, str], profile: _Profile) -> str:
    first, *others = (environ.get(name, "") for name in CA_VARIABLES)
    return first or profile.ca_bundle or next(filter(None, others), "")


def _virtual_host(environ: Mapping[str, str], profile: _Profile) -> bool:
    chosen = environ.get(VIRTUAL_HOST_VARIABLE, "")
    return chosen.lower() == "true" if chosen else profile.addressing == "virtual"


class _Profile(msgspec.Struct, frozen=True):
    """The settings of a profile in AWS's config file."""

    endpoint: str = ""
    region: str = ""
    ca_bundle: str = ""
    addressing: str = ""
    ignore_endpoints: str = ""


def _adds_to_variables(environ: Mapping[str, str]) -> bool:
    """True where AWS's config file may say what no variable of a key, an endpoint or a region does."""
    try:
        with open(_config_files(environ)[0], "rb") as file:
            return bool(re.search(rb"ca_bundle|addressing_style|ignore_configured", file.read()))
    except OSError:
        return False


def _names_files(environ: Mapping[str, str]) -> bool:
    """True where there may be a profile to read."""
    return any(map(environ.get, _PROFILE_VARIABLES)) or any(
        map(os.path.exists, _config_files(environ))
    )


def _config_files(environ: Mapping[str, str]) -> list[str]:
    """The paths of AWS's config file and of its credentials file."""
    home = environ.get("HOME") or os.path.expanduser("~")
    places = zip(_FILE_VARIABLES, ("~/.aws/config", "~/.aws/credentials"), strict=True)
    paths = [environ.get(name) or place for name, place in places]
    return [home + path[1:] if path.startswith("~/") else path for path in paths]


def _read_profile(environ: Mapping[str, str], *, with_key: bool) -> tuple[_Profile, Any]:
    """The profile's settings, and its credentials as botocore has them; None where it has none, or they are not wanted."""
    from botocore.configprovider import ConfiguredEndpointProvider
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.session import Session

    try:
        session = Session()
        settings = session.get_scoped_config()
        # Without variables: those are read here.
        configured = ConfiguredEndpointProvider(session.full_config, settings, "s3", environ={})
        nested = settings.get("s3")
        profile = _Profile(
            str(configured.provide() or ""),
            str(settings.get("region") or ""),
            str(settings.get("ca_bundle") or ""),
            str(nested.get("addressing_style", "") if isinstance(nested, dict) else ""),
            str(settings.get("ignore_configured_endpoint_urls") or ""),
        )
        if not with_key:
            return profile, None
        resolver = session.get_component("credential_provider")
        # Variables are read here; a machine's role is obstore's to ask for, as it is slow where there is none.
        for provider in ("env", "container-role", "iam-role"):
            resolver.remove(provider)
        return profile, resolver.load_credentials()
    except (BotoCoreError, ClientError, OSError, ValueError, RuntimeError) as error:
        raise _unusable_profile(environ, error) from None


def _frozen(credentials: Any, environ: Mapping[str, str]) -> Key:
    """The key that credentials stand for now: they may be ones that a service renews. Raises SettingsError."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        frozen = credentials.get_frozen_credentials()
    except (BotoCoreError, ClientError, OSError, ValueError, RuntimeError) as error:
        raise _unusable_profile(environ, error) from None
    return frozen.access_key, frozen.secret_key, frozen.token or ""


def _unusable_profile(environ: Mapping[str, str], error: Exception) -> SettingsError:
    name = next(filter(None, map(environ.get, _PROFILE_VARIABLES)), "default")
    kind = type(error).__name__
    hint = "check ~/.aws/config and ~/.aws/credentials, or set MINIO_* or AWS_* variables instead"
    blank = next((each for each in _PROFILE_VARIABLES if environ.get(each) == ""), "")
    if kind == "ProfileNotFound" and blank:
        hint = f"unset {blank}: it is set, and empty"
    elif kind == "ProfileNotFound":
        hint = f"`aws configure --profile {name}` makes it, or unset AWS_PROFILE"
    elif "SSO" in kind or "Token" in kind:
        hint = f"log in again: `aws sso login --profile {name}`"
    elif kind in (
        "CredentialRetrievalError",
        "JSONDecodeError",
        "FileNotFoundError",
        "PermissionError",
    ):
        hint = "try the profile's credential_process by itself: it has failed"
    elif kind == "RuntimeError":
        hint = "its credentials have expired: get new ones, or mend its credential_process"
    # The texts of botocore name files, profiles and programs; no key.
    text = " ".join(str(error).split())
    return SettingsError(f"AWS's profile {name} cannot be used: {text}", hint=hint)


def connection_options(access: S3Access, bucket: str) -> dict[str, Any]:
    """The options of obstore for a bucket at this access: `config`, `client_options` and, for a key that expires, `credential_provider`.

    Raises StoreError where there is no key for it, or no certificates in the file that it names.
    """
    if not access.access_key and not access.role:
        raise StoreError(
            f"there is no key for the server {access.server}",
            hint="set MINIO_ACCESS_KEY and MINIO_SECRET_KEY, or a profile of AWS's credentials file",
        )
    config = {"region": access.region, "endpoint": access.endpoint}
    if access.refresh is None:
        config |= {
            "access_key_id": access.access_key,
            "secret_access_key": access.secret_key,
            "session_token": access.session_token,
        }
    client: dict[str, Any] = {"allow_http": access.endpoint.startswith("http://")}
    if access.ca_bundle and not client["allow_http"]:
        client["root_certificate"] = _read_certificates(access.ca_bundle)
    if access.virtual_host:
        config["virtual_hosted_style_request"] = "true"
        # obstore takes an endpoint as it stands.
        config["endpoint"] = access.endpoint.replace("://", f"://{bucket}.")
    options: dict[str, Any] = {
        "config": {name: value for name, value in config.items() if value},
        "client_options": client,
    }
    if access.refresh:
        options["credential_provider"] = _provider(access.refresh)
    return options


def _read_certificates(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise StoreError(
            f"the file of trusted certificates {path} cannot be read: {error.strerror}",
            hint=f"check {', '.join(CA_VARIABLES)}",
        ) from None
    if b"-----BEGIN CERTIFICATE-----" not in content:
        raise StoreError(
            f"the file of trusted certificates {path} holds none",
            hint=f"name a PEM file in one of {', '.join(CA_VARIABLES)}",
        )
    return content


def _provider(refresh: Callable[[], Key]) -> Callable[[], dict[str, Any]]:
    """The function by which obstore asks for the key, every few minutes."""
    from datetime import UTC, datetime, timedelta

    def provide() -> dict[str, Any]:
        access, secret, token = refresh()
        return {
            "access_key_id": access,
            "secret_access_key": secret,
            "token": token,
            "expires_at": datetime.now(UTC) + timedelta(minutes=5),
        }

    return provide


_EXPECTED_REGION = re.compile(r"expecting '([a-z0-9-]+)'|<Region>([a-z0-9-]+)</Region>")
_TRUST = "name the file of the authority that signed it in AWS_CA_BUNDLE (PEM)"
# fmt: off
# By what rustls and OpenSSL call them.
_CERTIFICATE_FAULTS = (
    (r"UnknownIssuer|unable to get local issuer|self.signed", "is not trusted", _TRUST),
    (r"NotValidForName|Hostname mismatch|IP address mismatch", "is for another host name", "use the name that the certificate is made out to"),
    (r"Expired|expired", "has expired", "renew it on the server"),
    (r"NotValidYet", "is not valid yet", "check this machine's clock, then the server's certificate"),
    (r"CaUsedAsEndEntity", "is that of an authority, not of a server",
     "make one with basicConstraints=CA:FALSE for the server, and sign it with that authority"),
    (r"InvalidCertificate|CERTIFICATE_VERIFY_FAILED", "is not accepted", _TRUST),
)
_KEY_FAULTS = {
    code: (fault, hint)
    for codes, fault, hint in (
        ("InvalidAccessKeyId", "does not accept the key", CHECK_KEYS),
        ("SignatureDoesNotMatch", "does not accept the key", f"{CHECK_KEYS}; a proxy that rewrites requests breaks signatures, too"),
        ("RequestTimeTooSkewed", "refuses this machine's requests because of its clock: it is too far from the server's",
         "set the clock, for example with `timedatectl set-ntp true`"),
        ("ExpiredToken TokenRefreshRequired", "says that the session token has expired", "get a new one, for example by `aws sso login`"),
        ("InvalidToken InvalidTokenId InvalidSecurity", "does not accept the session token",
         "get a new one, or unset AWS_SESSION_TOKEN if the key has none"),
        ("XAmzContentSHA256Mismatch XAmzContentChecksumMismatch BadDigest InvalidDigest",
         "received other bytes than were sent, or does not know the checksum",
         "run again; if it stays, look for a proxy that changes requests, and update the server"),
    )
    for code in codes.split()
}
_ACTIONS = {"list request": "list what is in", "DeleteObjects": "delete in", "performing D": "delete in", "performing P": "write to", "performing ": "read in"}
_REGION_CODES = frozenset((
    "PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "InvalidRegion",
))
# fmt: on


def refused_action(text: str) -> str:
    """Words, before the bucket's address, for what a key may not do, by what obstore said of the request."""
    return next((words for sign, words in _ACTIONS.items() if sign in text), "do this in")


def access_error(access: S3Access, url: str, code: str, text: str) -> StoreError | None:
    """The error of an access that does not fit the server: certificate, scheme, region, clock, key or name; None for any other fault.

    `text` is what the client said, obstore or botocore, and `code` the S3 error code in it.
    """
    server = access.server
    if "ertificate" in text or "CERTIFICATE" in text:
        for pattern, fault, hint in _CERTIFICATE_FAULTS:
            if re.search(pattern, text):
                return StoreError(f"the certificate of {server} {fault}", hint=hint)
    if "HTTP request to an HTTPS server" in text:
        return StoreError(f"{server} speaks https only", hint="write https:// in the endpoint")
    if re.search(r"InvalidContentType|corrupt message|WRONG_VERSION_NUMBER", text):
        return StoreError(
            f"{server} does not speak https at this port", hint="write http:// in the endpoint"
        )
    if code in _REGION_CODES or "without LOCATION" in text:
        expected = _EXPECTED_REGION.search(text)
        region = next(filter(None, expected.groups()), "") if expected else ""
        return StoreError(
            f"the bucket of {url} is not in the region {access.region}"
            + (f" but in {region}" if region else ""),
            hint=f"set AWS_REGION={region or 'REGION'}, and no endpoint of another region",
        )
    if code in _KEY_FAULTS:
        fault, hint = _KEY_FAULTS[code]
        return StoreError(f"{server} {fault} ({code})", hint=hint)
    if "dns error" in text or "failed to lookup" in text:
        host = urlsplit(access.endpoint).hostname or "AWS"
        return StoreUnavailable(
            f"the artifact store {url} is not to be had: there is no host {host}",
            hint=f"check the endpoint ({', '.join(ENDPOINT_VARIABLES)}) and the network",
        )
    return None
