"""Differences of two runs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from daintree.pipeline.reasons import first_causes
from daintree.pipeline.run_diff import (
    Change,
    Evidence,
    FileChange,
    RunDifference,
    Table,
    compare,
    difference,
    number,
    patches_of,
)
from daintree.settings import read_settings
from daintree.store.records import InputRecord, RunManifest
from daintree.store.store import Store, directory_store
from tests.contract.runs import key_of, location_of, manifest_of, publish


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return directory_store(tmp_path / "store")


def run_id(number: int) -> str:
    return f"20260301T10150000{number}Z-0000000{number}"


FIRST = manifest_of(run_id(1))


def changed(**changes: object) -> RunManifest:
    return msgspec.structs.replace(FIRST, **{"run": run_id(2), **changes})


def compared(second: RunManifest, **evidence: object) -> RunDifference:
    return compare(FIRST, second, Evidence(**evidence))  # type: ignore[arg-type]


def test_equal_runs_differ_in_nothing_but_their_ids() -> None:
    run_difference = compared(changed(seconds=3.0))
    assert run_difference == RunDifference(
        first=FIRST.run,
        second=run_id(2),
        stages=("words:train", "words:train"),
        seconds=(1.5, 3.0),
    )


def test_parameters_and_facts() -> None:
    run_difference = compared(
        changed(parameters={"epochs": 50.0, "new": "x"}, environment="venv", commit="f" * 40)
    )
    assert run_difference.parameters == (Change("epochs", 50, 50.0), Change("new", None, "x"))
    assert run_difference.facts == (
        Change("commit", "", "f" * 40),
        Change("environment", "image", "venv"),
    )


def test_component_files_libraries_packages_and_base_are_told_apart() -> None:
    paths = (
        *("main.py", "stageio/io.py", "base/deep.py", "train/own.py"),
        *("requirements.txt", "Dockerfile"),
    )
    first = msgspec.structs.replace(FIRST, version_files=dict.fromkeys(paths, "100644 a"))
    second = changed(version_files={**dict.fromkeys(paths, "100644 b"), "notes": "100644 c"})
    texts = (
        {
            "component.yaml": "uses: [lib/stageio]\ndescription: after shop/train\n",
            "stageio/component.yaml": "uses: [lib/base]\n",
            "main.py": "one\nsame\n",
            "requirements.txt": "numpy==1.0 \\\n    --hash=sha256:x\npandas==2.0\n",
            "Dockerfile": "FROM python:3.11-slim\n",
        },
        {
            "component.yaml": "uses: [lib/stageio]\n",
            "main.py": "two\nsame\n",
            "requirements.txt": "numpy==1.1 ; python_version > '3'\nscipy[all]==3.0\n",
            "Dockerfile": "from --platform=linux/amd64 python:3.12-slim\n",
        },
    )
    run_difference = compare(first, second, Evidence(texts=texts))
    assert [(c.path, c.change) for c in run_difference.files] == [
        ("Dockerfile", "changed"),
        ("main.py", "changed"),
        ("notes", "added"),
        ("requirements.txt", "changed"),
        ("train/own.py", "changed"),
    ]
    # Those that a library uses are libraries, too.
    assert [c.path for c in run_difference.libraries] == ["base/deep.py", "stageio/io.py"]
    assert run_difference.packages == (
        Change("numpy", "1.0", "1.1"),
        Change("pandas", "2.0", None),
        Change("scipy", None, "3.0"),
    )
    assert run_difference.bases == (Change("FROM", "python:3.11-slim", "python:3.12-slim"),)


def test_texts_are_compared_by_git() -> None:
    hostile = "../../outside\ndiff --git a/0 b/0\n"
    before = {"main.py": "def main():\n" + "same\n" * 9 + "one", "gone": "x\n", "same": "s"}
    after = {"main.py": "def main():\n" + "same\n" * 9 + "two\n", hostile: "\r\n", "same": "s"}
    patches = patches_of(before, after)
    assert patches["main.py"] == (
        *("--- a/main.py", "+++ b/main.py", "@@ -8,4 +8,4 @@ same"),
        *(" same", " same", " same", "-one", "\\ No newline at end of file", "+two"),
    )
    assert patches["gone"][-1] == "-x"
    assert patches[hostile][-1] == "+\r"
    assert patches.keys() == {"main.py", "gone", hostile}


@pytest.mark.parametrize(
    ("value", "words"), [(142.0, "142"), (1e300, "1e+300"), (0.123456789, "0.123457"), (-2, "-2")]
)
def test_a_whole_number_has_the_digits_that_it_has(value: float, words: str) -> None:
    assert number(value) == words


def test_a_long_difference_is_cut() -> None:
    patches = patches_of({"a": "x\n" * 5000}, {"a": "y\n" * 5000})["a"]
    assert len(patches) == 401
    assert patches[-1] == "… 9603 lines more"


def test_a_run_that_failed_has_deleted_nothing(store: Store) -> None:
    whole = publish(store, run_id(2))
    evidence = Evidence(metrics=({"hr": 0.89}, {}))
    for runs in ((whole, FIRST), (FIRST, whole)):
        diff = compare(*runs, evidence)
        assert [change.name for change in diff.facts] == ["result"]
        assert not diff.outputs
        assert not diff.metrics


def test_without_git_the_files_of_snapshots_are_compared(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    for digit, text in ((1, "one\n"), (2, "two\n")):
        version = f"sha256:{digit:064x}"
        directory = tmp_path / "snapshots" / version.removeprefix("sha256:")
        directory.mkdir(parents=True)
        (directory / "main.py").write_text(text)
        files = {"main.py": f"100644 {digit:040x}"}
        runs.append(changed(run=run_id(digit), version=version, version_files=files))
    settings = read_settings(tmp_path, {"DAINTREE_SNAPSHOTS": str(tmp_path / "snapshots")})
    assert "-one" in difference(store, settings, *runs).files[0].patch
    monkeypatch.setenv("PATH", str(tmp_path))
    [change] = difference(store, settings, *runs).files
    assert (change.path, change.change, change.patch) == ("main.py", "changed", ())


def test_outputs_with_rows_and_columns_and_metrics(store: Store, tmp_path: Path) -> None:
    first = publish(
        store,
        run_id(1),
        {
            "a.csv": b'x,y\n1,"two\nlines"\n',
            "gone": b"1",
            "same.csv": b"x\n",
            "metrics.json": b'{"hr": 0.5, "n": 1, "m": 2}',
        },
    )
    second = publish(
        store,
        run_id(2),
        {
            "a.csv": b"x,z\n1,2\n3,4\n5,6\n",
            "new": b"123",
            "same.csv": b"x\n",
            "metrics.json": b'{"hr": 0.75, "n": 142, "m": 2.0}',
        },
    )
    run_difference = difference(
        store, read_settings(tmp_path, {"HOME": str(tmp_path)}), first, second
    )
    assert run_difference.outputs[0] == FileChange(
        path="a.csv",
        change="changed",
        before=18,
        after=16,
        columns_added=("z",),
        columns_removed=("y",),
        rows_before=1,
        rows_after=3,
    )
    assert [(c.path, c.change) for c in run_difference.outputs[1:]] == [
        ("gone", "deleted"),
        ("metrics.json", "changed"),
        ("new", "added"),
    ]
    assert run_difference.metrics == (Change("hr", 0.5, 0.75), Change("n", 1, 142))
    assert run_difference.metrics[1].after.__class__ is int


def test_a_table_of_rows_alone_has_its_shape() -> None:
    tables: tuple[dict[str, Table], dict[str, Table]] = ({"a.csv": Table(("x",), 1)}, {})
    assert compared(FIRST, tables=tables).outputs == ()


class TestFirstCauses:
    """The first stages that differ, on the way to an input."""

    def chain(
        self, store: Store, number: int, source: str, epochs: int, name: str = ""
    ) -> RunManifest:
        """Runs of load, train and rank, each on the output of the one before, the first on a source, which may have a name; the last one."""
        origin = InputRecord(name, key_of(source), source, source=bool(name))
        for place, stage in enumerate(("load", "train", "rank")):
            parameters = {"epochs": epochs} if stage == "train" else {}
            run = publish(
                store,
                run_id(number + place),
                {"out": f"{source} {epochs if place else ''} {stage}".encode()},
                stage=stage,
                parameters=parameters,
                inputs=(origin,),
            )
            assert run.output is not None
            origin = InputRecord(stage, run.output.digest, run.location)
        return run

    def test_they_are_named_with_their_reasons(self, store: Store) -> None:
        first, second = self.chain(store, 1, "a.csv", 10), self.chain(store, 4, "a.csv", 20)
        assert first_causes(store, first, second) == {"train": ("train: params.epochs 10 → 20",)}

    def test_a_source_with_a_name_is_no_run(self, store: Store) -> None:
        first, second = (self.chain(store, n, s, 10, "items") for n, s in ((1, "a"), (4, "b")))
        assert first_causes(store, first, second) == {"train": ("load: another source items",)}
        loads = [store.read_run(location_of(run_id(number))) for number in (1, 4)]
        assert all(loads)
        assert first_causes(store, *loads) == {"items": ("another source items",)}  # type: ignore[arg-type]

    def test_a_run_that_a_name_led_to_is_followed(self, store: Store) -> None:
        reads = []
        for fold in (1, 2):
            text, parameters = str(fold).encode(), {"fold": fold}
            named = publish(store, run_id(fold), {"a": text}, stage="clean", parameters=parameters)
            assert named.output
            origin = InputRecord("", named.output.digest, "words:clean@best", named.location)
            reads.append(publish(store, run_id(fold + 2), {"b": text}, inputs=(origin,)))
        assert first_causes(store, *reads) == {"": ("clean: params.fold 1 → 2",)}

    def test_a_source_is_one_and_every_cause_counts(self, store: Store) -> None:
        first, second = self.chain(store, 1, "a.csv", 10), self.chain(store, 4, "b.csv", 20)
        assert first_causes(store, first, second) == {
            "train": ("load: another source", "train: params.epochs 10 → 20")
        }

    def test_a_lost_run_is_said(self, store: Store) -> None:
        first = self.chain(store, 1, "a.csv", 10)
        lost = InputRecord("train", key_of("other"), "nowhere/at/all")
        second = msgspec.structs.replace(first, inputs=(lost,))
        assert first_causes(store, first, second) == {
            "train": ("a run before it is gone from the store",)
        }
