"""Secrets: where they come from, and that no log holds them."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daintree.errors import EnvironmentFailed
from daintree.runners.variables import (
    MASKED,
    Mask,
    environment_for,
    masked,
    missing_variables,
    secrets_of,
)
from tests.conftest import Monorepo

# Few letters, so that secrets overlap and repeat.
TEXT = st.text("ab\n", max_size=60)
SECRETS = st.lists(st.text("ab\n", min_size=8, max_size=14), max_size=3)


def fed(chunks: list[bytes], secrets: list[str]) -> bytes:
    mask = Mask(secrets)
    return b"".join([*(mask.feed(chunk) for chunk in chunks), mask.finish()])


@given(TEXT, SECRETS, st.lists(st.integers(0, 60), max_size=8))
def test_no_cut_of_a_stream_lets_a_secret_through(
    text: str, secrets: list[str], cuts: list[int]
) -> None:
    content = text.encode()
    places = [0, *sorted(cuts), len(content)]
    chunks = [content[a:b] for a, b in itertools.pairwise(places)]
    once = fed([content], secrets)
    assert fed(chunks, secrets) == once
    assert not any(secret.encode() in once for secret in secrets)
    assert fed(chunks, []) == content


@pytest.mark.parametrize(
    ("secrets", "text", "shown"),
    [
        (["open sesame"], "say open sesame!", "say ***!"),
        (["short"], "short", "short"),
        (["12345678", "78abcdefgh"], "-12345678abcdefgh-", "-***-"),
        (["12345678", "1234567890"], "1234567890", "***"),
        (["  padded-key \n"], "padded-key", "***"),
        (["first line\nsecond line\nx"], "a second line, a first line, x", "a ***, a ***, x"),
        (["größere Mengen"], "größere Mengen", "***"),
        (["a.b*c(d)[e"], "a.b*c(d)[e axbxc", "*** axbxc"),
    ],
)
def test_a_secret_is_masked(secrets: list[str], text: str, shown: str) -> None:
    assert masked(text, secrets) == shown


def test_only_the_beginning_of_a_secret_waits() -> None:
    mask = Mask(["open sesame"])
    assert mask.feed(b"user: ana, op") == b"user: ana, "
    assert mask.feed(b"era") == b"opera"
    assert mask.feed(b"open sesame, open") == MASKED + b", "
    assert mask.finish() == b"open"


def test_the_keys_of_a_store_are_secrets_as_well() -> None:
    variables = {"MINIO_SECRET_KEY": "a", "AWS_SESSION_TOKEN": "b", "AWS_REGION": "c", "X": "d"}
    assert secrets_of(variables, ["X"]) == ["a", "b", "d"]


def test_the_environment_goes_before_the_file(
    monorepo: Monorepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monorepo.root.joinpath(".env").write_text(
        "# ours\nexport DB_USER=ana\nDB_PASSWORD='a # b'\nDB_HOST=$DB_USER.example\nPATH=/elsewhere\nEMPTY\n"
    )
    monkeypatch.setenv("DB_USER", "eva")
    for name in ("DB_PASSWORD", "DB_HOST", "EMPTY"):
        monkeypatch.delenv(name, raising=False)
    variables = environment_for(monorepo.root, ["DB_USER", "DB_PASSWORD", "DB_HOST", "EMPTY"])
    assert variables["DB_USER"] == "eva"
    assert variables["DB_PASSWORD"] == "a # b"
    # As it stands there: nothing else of the environment comes in.
    assert variables["DB_HOST"] == "$DB_USER.example"
    assert variables["PATH"] != "/elsewhere"
    assert "EMPTY" not in variables
    assert "DB_PASSWORD" not in environment_for(monorepo.root, ["DB_USER"])
    monorepo.root.joinpath(".env").write_text("DB_PASSWORD=changed-since\n")
    assert environment_for(monorepo.root, ["DB_PASSWORD"])["DB_PASSWORD"] == "changed-since"


def test_a_file_of_windows_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfDB_USER=ana\r\nDB_PASSWORD='a b'\r\n")
    variables = environment_for(tmp_path, ["DB_USER", "DB_PASSWORD"])
    assert (variables["DB_USER"], variables["DB_PASSWORD"]) == ("ana", "a b")


@pytest.mark.parametrize("link", [False, True])
def test_a_file_that_git_tracks_is_refused(monorepo: Monorepo, link: bool) -> None:
    file = monorepo.root / ("secrets/prod.env" if link else ".env")
    file.parent.mkdir(exist_ok=True)
    file.write_text("DB_PASSWORD=open-sesame\n")
    monorepo.git("add", "--force", str(file))
    if link:
        monorepo.root.joinpath(".env").symlink_to(file)
    error = missing_variables("shop/load", ["DB_PASSWORD"], monorepo.root)
    assert error is not None
    assert error.message.startswith("shop/load: ")
    assert "/.env is tracked by git" in error.message
    assert "git rm --cached .env" in error.hint
    assert missing_variables("shop/load", [], monorepo.root) is None


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "cannot be read: "), (b"A=\xff\n", "cannot be read: it is not UTF-8")],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    if content is None:
        (tmp_path / ".env").mkdir()
    else:
        (tmp_path / ".env").write_bytes(content)
    with pytest.raises(EnvironmentFailed, match=complaint):
        environment_for(tmp_path, ["A"])


def test_a_null_byte_is_refused_before_a_process_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DB_PASSWORD", raising=False)
    (tmp_path / ".env").write_bytes(b"DB_PASSWORD=a\0b\n")
    error = missing_variables("shop/load", ["DB_PASSWORD"], tmp_path)
    assert error is not None
    assert "null byte" in error.message
