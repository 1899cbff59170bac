"""`doit gc`: what nobody reaches goes from the store, and everything else stays and works."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from daintree.store.records import short_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from daintree.store.bucket import Bucket
    from tests.e2e.fifos import Channel, Gate
    from tests.e2e.projects import Project

OTHER = ("--set", "count.top=2")
ALL = ("--older-than", "0s")


def goes(project: Project, *arguments: str) -> list[str]:
    """The stages of the outputs that a collection with these arguments would take, or takes, sorted."""
    return sorted(output["stage"] for output in outputs(project, *arguments))


def outputs(project: Project, *arguments: str) -> list[dict[str, Any]]:
    """The same as the whole table has it."""
    stores = project.doit("gc", *arguments, "--json").json()["stores"]
    return [output for store in stores for output in store["goes"]]


@pytest.fixture
def tried(ran: Project) -> Project:
    """The project with a run of other parameters, which no pipeline has."""
    assert ran.run("words", *OTHER) == {"load": "hit", "clean": "hit", "count": "run"}
    return ran


def test_what_would_go_is_shown_and_goes_when_asked_for(tried: Project) -> None:
    store = tried.environ["DAINTREE_STORE"]
    [output] = outputs(tried, *ALL)
    shown = tried.doit("gc", *ALL).stdout.splitlines()
    assert shown[0].startswith(f"{store}: 1 output of 4 (21 B of ")
    assert "would go; computing them again would take" in shown[0]
    assert output["run"] in shown[1]
    assert shown[-1] == f"nothing was removed; to do it: doit gc {' '.join(ALL)} --yes"
    assert outputs(tried, *ALL, "--yes")[0]["outcome"] == "removed"
    assert outputs(tried, *ALL) == []
    assert set(tried.plan("words").values()) == {"hit"}


def test_the_past_stays_and_says_that_the_output_was_collected(tried: Project) -> None:
    [output] = outputs(tried, *ALL, "--yes")
    assert "output collected (" in tried.reasons("words", *OTHER)["count"]
    assert short_run(output["run"]) in tried.doit("history").stdout
    assert "collected: " in tried.doit("show", output["run"]).stdout
    shown = tried.doit("show", output["run"], "--json").json()
    assert shown["path"] is None
    assert "@" in shown["collected"]["by"]
    assert tried.run("words", *OTHER)["count"] == "run"
    assert set(tried.plan("words", *OTHER).values()) == {"hit"}


def test_without_a_policy_nothing_goes_that_a_key_leads_to(tried: Project) -> None:
    assert outputs(tried) == []
    tried.run("words", *OTHER, "--force", "count")
    assert goes(tried) == ["count"]


def test_what_another_branch_or_tag_reaches_goes_unless_it_is_to_stay(tried: Project) -> None:
    tried.git("checkout", "--quiet", "-b", "other")
    tried.write(
        "pipelines/words.yaml",
        "source: corpus.txt\nstages: [text/load, text/clean, {component: text/count, params: {top: 2}}]\n",
    )
    tried.commit()
    tried.git("tag", "kept")
    tried.git("checkout", "--quiet", "main")
    assert goes(tried, *ALL, "--all-branches") == []
    assert goes(tried, *ALL, "--all-tags") == []
    assert goes(tried, *ALL) == ["count"]
    assert tried.git("worktree", "list").count("\n") == 1


def test_the_runs_of_a_pipeline_that_cannot_be_planned_stay(tried: Project) -> None:
    tried.replace("pipelines/words.yaml", "corpus.txt", "nothing.txt")
    finished = tried.doit("gc", *ALL)
    assert "warning: pipeline words cannot be planned, so all its runs stay: " in finished.stderr
    assert ": 0 outputs of 4 " in finished.stdout


def test_what_the_commit_reaches_stays_when_the_working_tree_differs(tried: Project) -> None:
    main = tried.root / "components/text/clean/main.py"
    text = main.read_text()
    main.write_text(text + "# not committed\n")
    assert goes(tried, *ALL, "--yes") == ["count"]
    main.write_text(text)
    assert set(tried.plan("words").values()) == {"hit"}


def test_the_runs_of_a_branch_whose_settings_cannot_be_read_stay(tried: Project) -> None:
    tried.git("checkout", "--quiet", "-b", "broken")
    tried.write("pyproject.toml", "[tool.daintree\n")
    tried.commit()
    tried.git("checkout", "--quiet", "main")
    assert goes(tried, *ALL) == ["count"]
    done = tried.doit("gc", *ALL, "--all-branches")
    assert "can be planned, so all their runs stay: pyproject.toml is not TOML" in done.stderr
    assert goes(tried, *ALL, "--all-branches") == []


def test_the_last_of_a_stage_and_a_size(tried: Project) -> None:
    tried.run("words", "--set", "count.top=1")
    assert goes(tried, "--keep-last", "1") == ["count"]
    assert goes(tried, "--max-size", "0B") == ["count", "count"]
    assert goes(tried, "--max-size", "1GB") == []
    shown = tried.doit("gc", "--max-size", "0 B").stdout
    assert shown.endswith("to do it: doit gc --max-size '0 B' --yes\n")


def test_what_another_project_has_computed_stays_unless_it_is_asked_for(ran: Project) -> None:
    theirs = ran.at(ran.root, DAINTREE_PROJECT="fraud")
    assert theirs.run("words", *OTHER)["count"] == "run"
    shown = ran.doit("gc", *ALL, "--yes").stdout
    assert ": removed 0 outputs (0 B)" in shown
    assert "1 more output (21 B) of other projects (fraud) stay unless --all-projects is" in shown
    assert ran.plan("words", *OTHER)["count"] == "hit"
    [store] = ran.doit("gc", *ALL, "--json").json()["stores"]
    assert store["others"] == {"number": 1, "bytes": 21, "projects": ["fraud"]}
    assert goes(ran, *ALL, "--all-projects") == goes(theirs, *ALL) == ["count"]


def test_the_environment_of_a_stage_that_runs_for_weeks_stays(
    waiting: Project, channel: Channel, gate: Gate, tmp_path: Path
) -> None:
    own = waiting.at(waiting.root, DAINTREE_ENVIRONMENTS=str(tmp_path / "environments"))
    process = own.start("run", "slow")
    assert channel.receive() == "here"
    caches = Path(own.environ["XDG_CACHE_HOME"]) / "daintree"
    for parent in (tmp_path / "environments", caches / "snapshots"):
        for directory in parent.iterdir():
            os.utime(directory, (0, 0))
    unused = own.doit("gc", "--yes", "--json").json()["unused"]
    gate.open()
    assert own.finish(process).code == 0
    assert (unused["environments"], len(unused["snapshots"])) == ([], 0)
    assert len(own.doit("gc", "--json").json()["unused"]["snapshots"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--older-than", "30"), "--older-than '30': expected a duration"),
        (("--max-size", "large"), "--max-size 'large': expected a size"),
        (("--keep-last", "-1"), "--keep-last '-1': expected a whole number"),
        (("--keep-last", "9" * 5000), "9': expected a whole number"),
        (("--cache",), "is in no bucket, so it has no cache"),
    ],
)
def test_what_cannot_be_read_is_said(
    project: Project, arguments: tuple[str, ...], message: str
) -> None:
    assert message in project.doit("gc", *arguments).complaint()


@pytest.mark.parametrize("place", ["_names/words/best", "_names/words", "_names"])
@pytest.mark.parametrize("kind", ["fifo", "link", "directory", "large", "file"])
def test_a_name_that_cannot_be_read_ends_the_collection(
    tried: Project, kind: str, place: str, tmp_path: Path
) -> None:
    store = Path(tried.environ["DAINTREE_STORE"])
    assert tried.doit("name", "words:count", "best").code == 0
    damaged = store / place
    damaged.rename(tmp_path / "taken")
    make: dict[str, Callable[[], object]] = {
        "fifo": lambda: os.mkfifo(damaged),
        "link": lambda: damaged.symlink_to(tmp_path / "taken"),
        "directory": lambda: (store / "_names/words/best").mkdir(parents=True),
        "large": lambda: damaged.write_bytes(b" " * (2 << 20)),
        "file": lambda: damaged.write_bytes(b"{}"),
    }
    make[kind]()
    if (kind, place) == ("link", "_names"):
        # A directory that lies elsewhere.
        assert goes(tried, *ALL) == []
        return
    assert "hint: " in tried.doit("gc", *ALL, "--yes").complaint()
    assert tried.plan("words", *OTHER)["count"] == "hit"


def test_what_was_not_used_for_long_goes_from_this_machine(tried: Project) -> None:
    caches = Path(tried.environ["XDG_CACHE_HOME"]) / "daintree"
    old = caches / "snapshots" / ("0" * 64)
    old.mkdir(parents=True)
    (old / "main.py").write_text("")
    os.utime(old, (0, 0))
    gone = caches / "git" / "gone"
    (gone / "objects/info").mkdir(parents=True)
    (gone / "objects/info/alternates").write_text("/nowhere/objects\n")
    (gone / "HEAD").write_text("ref: refs/heads/main\n")
    left = Path(tried.environ["DAINTREE_STORE"], "_cache/.tmp-0123")
    left.write_bytes(b"12")
    os.utime(left, (0, 0))
    lock = Path(tried.environ["DAINTREE_STORE"], "_leases/0123")
    lock.parent.mkdir(exist_ok=True)
    lock.touch()
    report = tried.doit("gc", "--yes", "--json").json()
    assert [one["path"] for one in report["unused"]["snapshots"]] == [str(old)]
    assert [one["path"] for one in report["unused"]["private objects of git"]] == [str(gone)]
    assert report["interrupted"] == {"number": 1, "bytes": 2}
    assert not any(path.exists() for path in (old, gone, left, lock))
    assert set(tried.plan("words").values()) == {"hit"}


def test_a_bucket_and_its_cache(ours: Project, theirs: Project, bucket: Bucket) -> None:
    for project, arguments in ((ours, ()), (theirs, ()), (ours, OTHER)):
        project.run("words", *arguments)
    assert goes(ours, *ALL, "--cache", "--yes") == ["count"]
    assert set(theirs.plan("words", *OTHER).values()) == {"hit"}
    [output] = outputs(theirs, *ALL, "--yes")
    assert output["outcome"] == "retired"
    assert theirs.plan("words", *OTHER)["count"] == "miss"
    [output] = outputs(theirs, *ALL, "--yes", "--grace", "0s")
    assert output["outcome"] == "removed"
    assert not any(path.startswith(f"{output['location']}/output") for path in bucket.sizes())
    assert set(ours.plan("words").values()) == {"hit"}
    assert ours.run("words", *OTHER)["count"] == "run"
