"""Pages in a real browser: a diamond, a failed run, a run that is watched, item2vec; nothing to complain of in the console."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.e2e.projects import LONGEST_SECONDS, Project
from tests.e2e.slow_pipeline import statuses
from tests.services.browser import WIDTHS, Browser

if TYPE_CHECKING:
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


def test_a_run_appears_while_it_is_watched(
    waiting: Project, channel: Channel, gate: Gate, browser: Browser
) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    waiting.replace(
        "components/odd/wait/main.py",
        "signal.alarm(30)",
        "signal.alarm(30)\nprint('epoch 1 of 9', flush=True)",
    )
    patience = WebDriverWait(browser.chrome, LONGEST_SECONDS)
    with served(waiting) as address:
        browser.resize(1000)
        browser.dark(False)
        browser.open(f"{address}pipelines/slow/index.html")
        browser.chrome.execute_script("window.loadedOnce = true")
        badge = browser.chrome.find_element("css selector", '[data-stage="wait"] [data-badge]')
        patience.until(lambda chrome: chrome.find_element("id", "live-state").text == "live")
        assert badge.text in ("pending", "miss")
        process: subprocess.Popen[str] = waiting.start("run", "slow", "--json")
        assert channel.receive() == "here"
        patience.until(lambda chrome: badge.text == "running")
        log = patience.until(lambda chrome: chrome.find_element("css selector", ".run-now pre"))
        patience.until(lambda chrome: "epoch 1 of 9" in log.text)
        browser.screenshot("running")
        assert browser.serious_faults() == []
        gate.open()
        assert statuses(waiting, process)["wait"] == "run"
        patience.until(lambda chrome: badge.text == "hit")
        assert not browser.chrome.find_element("id", "running").is_displayed()
        assert browser.chrome.execute_script("return window.loadedOnce") is True
        assert browser.complaints() == []
