"""Past runs, for people and for programs."""

from __future__ import annotations

import json

import msgspec
import pytest

from daintree.commands.history import MOST_LOG_LINES, history_table, run_as_json, run_page
from daintree.store.records import RunManifest, history_entry_of
from daintree.store.store import Store


@pytest.fixture
def failed(manifest: RunManifest) -> RunManifest:
    return msgspec.structs.replace(
        manifest,
        run="r2",
        location="at/r2",
        output=None,
        result="failed",
        failure="ended with exit code 3",
        commit="",
        dirty=False,
        user="",
        peak_memory=0,
    )


def keep_log(run: RunManifest, store: Store, content: bytes) -> None:
    path = store.log_path(run.location)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)


def test_a_row_says_what_when_by_whom_and_why(manifest: RunManifest, failed: RunManifest) -> None:
    assert history_table([manifest, failed]) == [
        "run       began             stage   result  took    parameters  reason                  by          commit",
        "0a1b2c3d  2024-01-02 03:04  x:join  ok      12.3 s  -           params.rate 1.0 → 0.5   ada@engine  ffffffff+",
        "r2        2024-01-02 03:04  x:join  FAILED  12.3 s  -           ended with exit code 3  @engine     -",
    ]


def test_a_row_is_cut_to_the_terminal(manifest: RunManifest) -> None:
    assert [len(line) for line in history_table([manifest], 80)] == [80, 80]
    assert history_table([manifest], 80)[1].endswith("…")


def test_rows_of_a_stage_show_the_parameters_that_differ(
    manifest: RunManifest, failed: RunManifest
) -> None:
    other = msgspec.structs.replace(failed, parameters={"rate": 1.0, "name": "a b", "loud": True})
    louder = msgspec.structs.replace(other, parameters={**other.parameters, "loud": False})
    split = msgspec.structs.replace(other, stage="split", parameters={"rate": 2.0})

    head, *rows = history_table([manifest, other, louder, split])

    start, end = head.index("parameters"), head.index("reason")
    assert [row[start:end].strip() for row in rows] == [
        "rate=0.5",
        "loud=true rate=1.0",
        "loud=false rate=1.0",
        "-",
    ]


def test_a_page_says_everything(manifest: RunManifest, store: Store) -> None:
    keep_log(manifest, store, "read 10 rows\ngröße\n".encode())
    output = store.address(manifest.location)
    assert run_page(manifest, store) == [
        "run          20240102T030405006Z-0a1b2c3d",
        "stage        x:join",
        "result       succeeded",
        "why          params.rate 1.0 → 0.5",
        "when         2024-01-02T03:04:05Z to 2024-01-02T03:04:17Z (12.3 s)",
        "where        engine, runner local, venv-3.11-linux-x86_64",
        "by           ada",
        "project      -",
        f"commit       {'f' * 40} with changes on top",
        f"component    c/join at sha256:{'7' * 64}",
        "memory       2.0 MB",
        f"recipe key   sha256:{'1' * 64}",
        f"content key  sha256:{'2' * 64}",
        "parameters",
        "  name  'a b'",
        "  rate  0.5",
        "inputs",
        "  left    sha256:left    c/work/left",
        "  source  sha256:source  data.json",
        "output sha256:out (1 file, 1.2 kB)",
        f"  {output}",
        f"  a.csv  1.2 kB  {'ab' * 32}",
        f"log {store.log_path(manifest.location)}",
        "  read 10 rows",
        "  größe",
    ]


def test_a_page_of_a_failed_run_says_how_it_failed(failed: RunManifest, store: Store) -> None:
    page = run_page(failed, store)
    assert "result       failed: it ended with exit code 3" in page
    assert "by           -" in page
    assert "commit       -" in page
    assert "memory       -" in page
    assert not [line for line in page if line.startswith("output")]
    assert page[-1] == f"log (missing: {store.log_path('at/r2')})"


def test_a_long_log_is_shown_from_its_end(manifest: RunManifest, store: Store) -> None:
    lines = [f"line {number}" for number in range(MOST_LOG_LINES + 5)]
    keep_log(manifest, store, "\n".join(lines).encode() + b"\xff\n")
    page = run_page(manifest, store)
    start = page.index("  … 5 lines before these")
    assert page[start + 1] == "  line 5"
    assert page[-1] == f"  line {MOST_LOG_LINES + 4}\ufffd"


def test_programs_get_the_manifest_and_the_paths(manifest: RunManifest, store: Store) -> None:
    whole = json.loads(json.dumps(run_as_json(manifest, store)))
    assert whole["path"] == store.address(manifest.location)
    assert whole["log"] == str(store.log_path(manifest.location))
    assert whole["output"]["files"] == [{"path": "a.csv", "size": 1200, "sha256": "ab" * 32}]
    assert whole["version_files"] == {"main.py": "100644 abc"}


def test_a_list_for_programs_leaves_lists_of_files_out(manifest: RunManifest, store: Store) -> None:
    brief = run_as_json(history_entry_of(manifest, {}), store)
    assert brief["output"] == {"digest": "sha256:out", "count": 1, "bytes": 1200}
    assert "version_files" not in brief
    assert brief["parameters"] == {"rate": 0.5, "name": "a b"}


def test_a_failed_run_has_no_path(failed: RunManifest, store: Store) -> None:
    assert run_as_json(failed, store)["path"] is None
