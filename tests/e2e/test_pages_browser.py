"""Pages in a real browser: a diamond, a failed run, a run that is watched, item2vec; nothing to complain of in the console."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.projects import LONGEST_SECONDS, REPOSITORY, Project
from tests.e2e.shared_bucket import machine
from tests.e2e.slow_pipeline import statuses
from tests.services.browser import WIDTHS, Browser

if TYPE_CHECKING:
    from daintree.store.bucket import Bucket
    from tests.e2e.fifos import Channel, Gate

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"


@contextmanager
def served(project: Project) -> Iterator[str]:
    """`doit ui` of a project; the address of its pages."""
    process = project.start("ui", "--port", "0", "--no-browser")
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address), process.communicate()
    try:
        yield address
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=LONGEST_SECONDS)
        assert "Traceback" not in errors


@pytest.fixture
def address(project: Project) -> Iterator[str]:
    with served(project) as address:
        yield address


def run_of(project: Project, stage: str) -> str:
    """The id of a stage's latest run."""
    runs = project.doit("history", stage, "--json").json()["runs"]
    return str(runs[0]["run"])


def inspect(browser: Browser, url: str, name: str) -> None:
    """Open a page in each width, light and dark: nothing in the console, no serious fault, never wider than the window."""
    for width in WIDTHS:
        for dark in (False, True):
            browser.resize(width)
            browser.dark(dark)
            browser.open(url)
            assert browser.complaints() == [], url
            assert not browser.is_wider_than_its_window(), (url, width)
            browser.screenshot(f"{name}-{width}-{'dark' if dark else 'light'}")
            if width != WIDTHS[1]:
                assert browser.serious_faults() == [], (url, width, dark)


def test_every_page_of_a_diamond(project: Project, address: str, browser: Browser) -> None:
    project.run("diamond")
    project.run("diamond", "--set", "right.fold=true")
    stage = "join"
    run = run_of(project, f"diamond:{stage}")
    newest, *_, oldest = project.doit("history", "diamond", "--json").json()["runs"]
    both = f"run={newest['run']}&run={oldest['run']}"
    for name, path in {
        "diamond": "pipelines/diamond/index.html",
        "diamond-runs": "pipelines/diamond/runs.html",
        "diamond-metrics": "pipelines/diamond/metrics.html",
        "diamond-compare": f"pipelines/diamond/compare.html?{both}",
        "diamond-run": f"runs/{run}/index.html",
        "diamond-output": f"runs/{run}/output-1.html",
        "diamond-file": f"runs/{run}/file-0.html",
        "home": "index.html",
    }.items():
        inspect(browser, address + path, name)


def test_every_page_of_item2vec(tmp_path: Path, browser: Browser) -> None:
    project = Project(REPOSITORY, {**os.environ, "DAINTREE_STORE": str(tmp_path / "store")})
    quick = ("--set", "train.epochs=10", "--set", "train.dimension=16")
    output = ("--output", tmp_path / "output")
    assert set(project.run("item2vec", *output, *quick).values()) == {"run"}
    project.run("item2vec:evaluate", *quick, "--set", "train.seed=2")
    assert project.doit("name", "item2vec", "production", "--note", "a first model").code == 0
    train, evaluate = (run_of(project, f"item2vec:{stage}") for stage in ("train", "evaluate"))
    record = project.doit("show", evaluate, "--json").json()
    files = [entry["path"] for entry in record["output"]["files"]]
    trains = project.doit("history", "item2vec:train", "--json").json()["runs"]
    both = "&".join(f"run={run['run']}" for run in trains)
    with served(project) as address:
        for name, path in {
            "item2vec-home": "index.html",
            "item2vec": "pipelines/item2vec/index.html",
            "item2vec-runs": "pipelines/item2vec/runs.html?where=seed%3D2",
            "item2vec-metrics": f"pipelines/item2vec/metrics.html?{both}",
            "item2vec-compare": f"pipelines/item2vec/compare.html?{both}",
            "item2vec-run": f"runs/{train}/index.html",
            "item2vec-output": f"runs/{train}/output-1.html",
            **{
                f"item2vec-{file}": f"runs/{evaluate}/file-{number}.html"
                for number, file in enumerate(files)
            },
        }.items():
            inspect(browser, address + path, name)


def test_curves_are_chosen(project: Project, address: str, browser: Browser) -> None:
    table = '(output / "training.csv").write_text("epoch,loss\\n1,0.9\\n2,0.4\\n")'
    project.component("odd/learn", table, rate={"type": "int", "default": 1})
    project.pipeline("learn", "odd/learn")
    for rate in (1, 2, 3):
        project.run("learn", "--set", f"learn.rate={rate}")
    browser.resize(1000)
    browser.open(f"{address}pipelines/learn/runs.html")
    boxes = browser.chrome.find_elements("css selector", "#runs input[type=checkbox]")
    for box in boxes[:2]:
        box.click()
    browser.chrome.find_element("css selector", "button.second").click()
    assert drawn_lines(browser) == 2
    browser.chrome.find_element("css selector", "details.more summary").click()
    browser.chrome.find_element("css selector", "details.more li:last-child input").click()
    browser.chrome.find_element("css selector", "details.more button").click()
    assert drawn_lines(browser) == 3
    assert browser.complaints() == []


def drawn_lines(browser: Browser) -> int:
    """The number of lines in the first chart of the page."""
    return len(browser.wait_for(".plot .scatterlayer").find_elements("css selector", ".scatter"))


def test_a_report_is_filtered_and_sorted_without_a_server(
    project: Project, browser: Browser
) -> None:
    project.run("words")
    project.run("words", "--set", "count.top=7")
    assert project.doit("report", "words", "--out", "report").code == 0
    browser.open(f"file://{project.root}/report/pipelines/words/runs.html")
    find, matching = browser.chrome.find_element, browser.chrome.find_element("id", "matching")
    assert matching.text == "4 runs"
    find("name", "stage").send_keys("count")
    assert matching.text == "2 runs"
    assert len(browser.chrome.find_elements("css selector", "#runs tbody tr:not([hidden])")) == 2
    find("name", "commit").send_keys("no commit")
    assert matching.text == "0 runs"
    find("css selector", "[data-column=seconds]").click()
    assert find("css selector", "th[aria-sort]").text.startswith("Took")
    assert browser.complaints() == []


def test_a_click_on_a_stage_opens_it(project: Project, address: str, browser: Browser) -> None:
    project.run("words")
    browser.resize(1000)
    browser.open(f"{address}pipelines/words/index.html")
    assert not browser.chrome.find_element("css selector", "#stage-clean").is_displayed()
    browser.chrome.find_element("css selector", '[data-node="clean"]').click()
    details = browser.chrome.find_element("css selector", "#stage-clean")
    assert details.is_displayed()
    assert "Parameters" in details.text
    assert "Inputs" in details.text
    assert browser.complaints() == []


def test_a_failed_run_and_hostile_words(project: Project, address: str, browser: Browser) -> None:
    project.component("odd/fail", f"print({HOSTILE!r})\nsys.exit(3)")
    project.pipeline("broken", "text/load", "odd/fail", description=HOSTILE)
    assert project.doit("run", "broken").code == 1
    run = run_of(project, "broken:fail")
    inspect(browser, f"{address}runs/{run}/index.html", "failed-run")
    page = browser.chrome.find_element("tag name", "main").text
    assert "ended with exit code 3" in page
    assert HOSTILE in page
    inspect(browser, f"{address}pipelines/broken/index.html", "failed-pipeline")
    assert HOSTILE in browser.chrome.find_element("tag name", "main").text
    assert browser.chrome.find_elements("css selector", "img[src=x]") == []


def test_the_last_runs_of_a_stage_are_whole_words_on_a_telephone(
    project: Project, address: str, browser: Browser
) -> None:
    project.run("words")
    browser.resize(400)
    browser.open(f"{address}pipelines/words/index.html#stage-clean")
    link = browser.wait_for("#stage-clean td a")
    assert link.is_displayed()
    assert link.size["height"] < 30
    assert not browser.is_wider_than_its_window()


@contextmanager
def watched(project: Project, browser: Browser) -> Iterator[Callable[[str], None]]:
    """The page of the pipeline `slow`, open and live; waits until its second stage has a status, without loading the page anew."""
    with served(project) as address:
        browser.resize(1000)
        browser.dark(False)
        browser.open(f"{address}pipelines/slow/index.html")
        browser.chrome.execute_script("window.loadedOnce = true")
        badge = browser.chrome.find_element("css selector", '[data-stage="wait"] [data-badge]')
        browser.wait(lambda: browser.chrome.find_element("id", "live-state").text == "live")
        assert badge.text in ("pending", "miss")
        yield lambda status: browser.wait(lambda: badge.text == status)
        assert browser.chrome.find_element("id", "counts").text == "2 hit, 0 miss, 0 pending"
        assert not browser.chrome.find_element("id", "running").is_displayed()
        assert browser.chrome.execute_script("return window.loadedOnce") is True
        assert browser.complaints() == []


def test_a_run_appears_while_it_is_watched(
    waiting: Project, channel: Channel, gate: Gate, browser: Browser
) -> None:
    waiting.replace(
        "components/odd/wait/main.py",
        "signal.alarm(30)",
        "signal.alarm(30)\nprint('epoch 1 of 9', flush=True)",
    )
    with watched(waiting, browser) as wait_for:
        process = waiting.start("run", "slow", "--json")
        assert channel.receive() == "here"
        wait_for("running")
        log = browser.wait_for(".run-now pre")
        browser.wait(lambda: "epoch 1 of 9" in log.text)
        browser.screenshot("running")
        assert browser.serious_faults() == []
        gate.open()
        assert statuses(waiting, process)["wait"] == "run"
        wait_for("hit")


def test_a_run_of_another_machine_appears_while_it_is_watched(
    waiting: Project, bucket: Bucket, channel: Channel, gate: Gate, browser: Browser
) -> None:
    theirs = machine(waiting, bucket, "theirs")
    with watched(machine(waiting, bucket, "ours"), browser) as wait_for:
        process = theirs.start("run", "slow", "--json", env={"USER": "ben", "LOGNAME": "ben"})
        assert channel.receive() == "here"
        wait_for("running")
        running = browser.wait_for(".run-now").text
        assert re.search(r"wait by ben@\S+ since 20\S+ \S+ UTC, on another machine", running)
        browser.screenshot("running-elsewhere")
        gate.open()
        assert statuses(theirs, process)["wait"] == "run"
        wait_for("hit")
