"""A query to run, and a PostgreSQL of the tests' own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import main
import pytest
import yaml
from stageio import read_table

Rows = list[list[str]]
Load = Callable[..., Rows]

PASSWORD = "p%ss/word:7"
ROLE = "reader_of_shop"


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Runs a query on a database; the header and the rows."""
    declared = yaml.safe_load(Path("component.yaml").read_text())["params"]
    defaults = {name: param["default"] for name, param in declared.items()}

    def rows(url: str, query: str, **parameters: Any) -> Rows:
        monkeypatch.setenv("DATABASE_URL", url)
        source, output = tmp_path / "input", tmp_path / "output"
        for directory in (source, output):
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
        (source / "q.sql").write_text(query, encoding="utf-8")
        main.main(input=source, output=output, **{**defaults, **parameters})
        table = read_table(output / "records.csv")
        return [list(table), *table.to_numpy().tolist()]

    return rows


def programs() -> Path | None:
    """The directory of PostgreSQL's server programs: Debian has them beside PATH."""
    found = shutil.which("initdb")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return Path(found).resolve().parent if found else installed[-1].parent if installed else None


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL server that this session starts, on loopback, as another user than root."""
    if not (there := programs()):
        if os.environ.get("CI"):
            pytest.fail("no PostgreSQL on this machine: .ci/services installs it")
        pytest.skip("no PostgreSQL on this machine")
    user = pwd.getpwnam("postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name)
    as_user: dict[str, Any] = (
        {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    directory = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))

    def call(*command: str, **more: Any) -> None:
        path = str(there / command[0])
        subprocess.run([path, *command[1:]], check=True, cwd=directory, **as_user, **more)

    try:
        os.chown(directory, user.pw_uid, user.pw_gid)
        data, log = str(directory / "data"), str(directory / "log")
        call("initdb", "-D", data, "-U", "owner", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        (directory / "data" / "pg_hba.conf").write_text(
            "host all owner 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )
        options = f"-p {port} -k {directory} -c listen_addresses=127.0.0.1 -c fsync=off"
        call("pg_ctl", "-D", data, "-o", options, "-l", log, "-w", "start")
        try:
            yield f"postgresql://owner@127.0.0.1:{port}/postgres"
        finally:
            call("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
