"""Credentials as `docker login` keeps them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from daintree.errors import RegistryError
from daintree.images.registry_auth import Credentials, merged_config, stored_credentials

HOST = "registry.example"


def configured(directory: Path, **config: object) -> dict[str, str]:
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return {"DOCKER_CONFIG": str(directory)}


def encoded(pair: str) -> str:
    return base64.b64encode(pair.encode()).decode()


def credential_program(directory: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = directory / "docker-credential-fake"
    program.write_text(f"#!/bin/sh\nread server\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(directory), prepend=":")


def test_nobody_has_logged_in(tmp_path: Path) -> None:
    assert stored_credentials(HOST, {"DOCKER_CONFIG": str(tmp_path)}) is None
    assert stored_credentials(HOST, configured(tmp_path)) is None
    assert stored_credentials(HOST, configured(tmp_path, auths={HOST: {}})) is None
    assert stored_credentials(HOST, configured(tmp_path, auths={"other": {"auth": "x"}})) is None


@pytest.mark.parametrize(
    "name", [HOST, f"https://{HOST}", f"https://{HOST}/v1/", f"http://{HOST}/v2/", f"{HOST}/"]
)
def test_a_password_in_the_file(tmp_path: Path, name: str) -> None:
    environ = configured(tmp_path, auths={name: {"auth": encoded("ana:hunter2:x")}})
    assert stored_credentials(HOST, environ) == Credentials("ana", "hunter2:x")


def test_other_forms_in_the_file(tmp_path: Path) -> None:
    plain = configured(tmp_path, auths={HOST: {"username": "ana", "password": "p"}})
    assert stored_credentials(HOST, plain) == Credentials("ana", "p")
    token = configured(tmp_path, auths={HOST: {"auth": encoded("a:b"), "identitytoken": "t"}})
    assert stored_credentials(HOST, token) == Credentials(identity_token="t")
    broken = configured(tmp_path, auths={HOST: {"auth": "\u00e4"}})
    assert stored_credentials(HOST, broken) is None


def test_the_logins_of_docker_auth_config_win(tmp_path: Path) -> None:
    environ = configured(
        tmp_path, auths={HOST: {"auth": encoded("file:f")}}, credHelpers={HOST: "none-such"}
    )
    given = json.dumps({"auths": {HOST: {"auth": encoded("ana:p")}, "other.example": {}}})
    assert stored_credentials(HOST, {**environ, "DOCKER_AUTH_CONFIG": given}) == Credentials(
        "ana", "p"
    )
    merged = merged_config({**environ, "DOCKER_AUTH_CONFIG": given})
    assert merged["auths"][HOST] == {"auth": encoded("ana:p")}
    assert merged["credHelpers"] == {HOST: "", "other.example": ""}
    with pytest.raises(RegistryError, match="DOCKER_AUTH_CONFIG is not JSON"):
        stored_credentials(HOST, {**environ, "DOCKER_AUTH_CONFIG": "{"})


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "index.docker.io"])
def test_docker_hub_has_names_of_its_own(tmp_path: Path, key: str) -> None:
    auths = {key: {"auth": encoded("ana:p")}}
    assert stored_credentials("docker.io", configured(tmp_path, auths=auths)) == Credentials(
        "ana", "p"
    )


@pytest.mark.parametrize("config", [{"credsStore": "fake"}, {"credHelpers": {HOST: "fake"}}])
def test_a_credential_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, object]
) -> None:
    answer = '{"ServerURL": "%s", "Username": "%s", "Secret": "s"}'
    credential_program(tmp_path, monkeypatch, f"printf '{answer}' $server ana")
    assert stored_credentials(HOST, configured(tmp_path, **config)) == Credentials("ana", "s")
    credential_program(tmp_path, monkeypatch, f"printf '{answer}' $server '<token>'")
    assert stored_credentials(HOST, configured(tmp_path, **config)) == Credentials(
        identity_token="s"
    )


def test_a_credential_program_that_knows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credential_program(
        tmp_path, monkeypatch, "echo credentials not found in native keychain; exit 1"
    )
    assert stored_credentials(HOST, configured(tmp_path, credsStore="fake")) is None
    both = configured(tmp_path, credsStore="fake", auths={HOST: {"auth": encoded("ana:p")}})
    assert stored_credentials(HOST, both) == Credentials("ana", "p")


@pytest.mark.parametrize("script", ["echo the secret is hunter2; exit 1", "echo hunter2"])
def test_a_credential_program_that_fails_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    credential_program(tmp_path, monkeypatch, script)
    with pytest.raises(RegistryError) as failure:
        stored_credentials(HOST, configured(tmp_path, credsStore="fake"))
    assert failure.value.message == f"docker-credential-fake gave no credentials for {HOST}"
    assert failure.value.hint == f"docker login {HOST}"


def test_a_credential_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RegistryError) as failure:
        stored_credentials(HOST, configured(tmp_path, credsStore="../../nowhere"))
    assert "credential helper docker-credential-nowhere: No such file" in failure.value.message


def test_a_broken_file(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(RegistryError, match=r"config\.json is not JSON"):
        stored_credentials(HOST, {"DOCKER_CONFIG": str(tmp_path)})


def test_credentials_are_never_shown() -> None:
    assert "hunter2" not in repr(Credentials("ana", "hunter2", "hunter2"))
