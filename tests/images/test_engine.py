"""The Docker engine: its address, and its errors translated."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.errors import EngineError
from daintree.images.engine import connect, engine_errors, engine_refusal
from tests.services.certificates import make_certificate

if TYPE_CHECKING:
    from docker import APIClient


def test_it_answers(engine: APIClient) -> None:
    with contextlib.closing(connect()) as client:
        assert client.version()["ApiVersion"] == engine.version()["ApiVersion"]


@pytest.mark.parametrize("host", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1"])
def test_an_engine_that_is_not_there(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(EngineError) as failure:
        connect()
    assert failure.value.message == f"the Docker engine is not running at {host} (DOCKER_HOST)"
    assert "systemctl start docker" in failure.value.hint


@pytest.fixture
def engine_behind_tls(
    engine: APIClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[int]:
    """The engine's socket behind a port that speaks TLS, and asks for a certificate of the same authority."""
    authority = make_certificate(tmp_path)
    shutil.copy(tmp_path / "public.crt", tmp_path / "cert.pem")
    shutil.copy(tmp_path / "private.key", tmp_path / "key.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority))
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    context.verify_mode = ssl.CERT_REQUIRED

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as inner:
                outer = context.wrap_socket(self.request, server_side=True)
                inner.connect("/var/run/docker.sock")
                while request := outer.recv(65_536):
                    inner.sendall(request)
                    outer.sendall(inner.recv(65_536))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
        yield server.server_address[1]
        server.shutdown()


def test_an_engine_behind_tls_answers_whoever_verifies_it(
    engine_behind_tls: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The SDK's HTTP library would take this one before DOCKER_CERT_PATH.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    connect().close()
    (tmp_path / "other").mkdir()
    make_certificate(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "ca.pem", tmp_path / "ca.pem")
    with pytest.raises(EngineError):
        connect()


def test_a_host_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "gopher://somewhere")
    with pytest.raises(EngineError, match=r"cannot reach the engine: .*protocol"):
        connect()


def context(directory: Path, name: str, host: str) -> None:
    """A docker context, as `docker context create` writes it."""
    meta = directory / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": False}
    text = json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}})
    (meta / "meta.json").write_text(text)


@pytest.fixture
def contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration of `docker` of the test's own, and no choice in the environment."""
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    context(tmp_path, "here", "unix:///var/run/docker.sock")
    context(tmp_path, "nowhere", "unix:///nowhere/docker.sock")
    return tmp_path


def test_the_context_of_the_environment_wins_over_the_current_one(
    engine: APIClient, contexts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (contexts / "config.json").write_text('{"currentContext": "nowhere"}')
    with pytest.raises(EngineError, match="is not running"):
        connect()
    monkeypatch.setenv("DOCKER_CONTEXT", "here")
    connect().close()
    monkeypatch.setenv("DOCKER_CONTEXT", "nowhere")
    with pytest.raises(EngineError, match=r"is not running at nowhere \(DOCKER_CONTEXT\)"):
        connect()
    monkeypatch.setenv("DOCKER_HOST", "unix:///var/run/docker.sock")
    connect().close()


def test_a_context_that_does_not_exist_is_said(
    contexts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    with pytest.raises(EngineError, match="there is no docker context 'far'") as failure:
        connect()
    assert "docker context ls" in failure.value.hint


# Leads from the socket that -L names to the one behind the colon, as ssh does from one machine to another.
SSH = """#!/bin/sh
echo "$@" >> {calls}
while [ "$1" != -L ]; do shift || exit 0; [ $# -gt 0 ] || exit 0; done
ln -s "${{2#*:}}" "${{2%%:*}}"
"""


def test_an_engine_over_ssh_is_reached_with_the_ssh_command(
    engine: APIClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ssh").write_text(SSH.format(calls=tmp_path / "calls"))
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("DOCKER_HOST", f"ssh://ana@engine-{os.urandom(4).hex()}.example:2222")
    for _ in range(2):
        with contextlib.closing(connect()) as client:
            assert client.version()["ApiVersion"] == engine.version()["ApiVersion"]
    [call] = (tmp_path / "calls").read_text().splitlines()
    assert ":/var/run/docker.sock -p 2222 -- ana@engine-" in call


def test_an_engine_that_ssh_cannot_connect_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ssh").write_text(
        "#!/bin/sh\necho 'Permission denied (publickey).' >&2\nexit 255\n"
    )
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("DOCKER_HOST", "ssh://-oProxyCommand=touch@engine.example")
    with pytest.raises(EngineError, match="Permission denied") as failure:
        connect()
    assert "by hand: ssh" in failure.value.hint


def test_a_socket_that_is_not_for_this_user(tmp_path: Path) -> None:
    """As root every socket can be opened, so another user tries, in a process of its own."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to try as another user")
    tmp_path.chmod(0o755)
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0o600)
        script = (
            "import os, sys; from daintree.images.engine import connect; import docker\n"
            "from daintree.errors import EngineError\n"
            "os.chdir('/'); os.environ['HOME'] = '/nonexistent'\n"
            "for parent in sys.argv[2:]: os.chmod(parent, 0o755)\n"
            "os.setuid(65534); os.environ['DOCKER_HOST'] = 'unix://' + sys.argv[1]\n"
            "try: connect()\n"
            "except EngineError as error: print(error.message, '|', error.hint)\n"
        )
        parents = [str(parent) for parent in path.parents if parent.stat().st_uid == 0][:3]
        command = [sys.executable, "-c", script, str(path), *parents]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "socket is not for this user | add yourself to the group docker" in done.stdout


def test_refusals_are_told_in_one_line(engine: APIClient) -> None:
    with pytest.raises(EngineError) as failure, engine_errors("look at it"):
        engine.inspect_image("nothing/here")
    assert failure.value.message.startswith("cannot look at it: ")
    assert "No such image: nothing/here" in failure.value.message


def test_a_full_disk_is_recognised() -> None:
    error = engine_refusal("build x", "write /var/lib: no space left on device")
    assert error.message == "cannot build x: the disk of the Docker engine is full"
    assert "docker system prune" in error.hint


def test_an_error_of_ours_and_a_bug_pass_as_they_are() -> None:
    with pytest.raises(ZeroDivisionError), engine_errors("count"):
        1 // 0  # noqa: B018
    ours = EngineError("ours")
    with pytest.raises(EngineError) as failure, engine_errors("count"):
        raise ours
    assert failure.value is ours
