"""A real browser without a window, as tests of the pages use it: Debian's chromium, by its own driver."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.services.availability import unavailable

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

AXE = Path(__file__).parents[1] / "pages" / "node_modules" / "axe-core" / "axe.min.js"
# Faults of these kinds keep somebody out.
SERIOUS = ("serious", "critical")
WIDTHS = (400, 1000, 1600)
LONGEST_SECONDS = 60


class Browser:
    """A browser; `screenshots` is where pictures of pages go (None: nowhere)."""

    def __init__(self, chrome: Chrome, screenshots: Path | None) -> None:
        self.chrome, self.screenshots = chrome, screenshots

    def open(self, url: str) -> None:
        """Open a page and wait until it is there."""
        self.chrome.get(url)

    def wait(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds. Raises TimeoutException."""
        from selenium.webdriver.support.wait import WebDriverWait

        WebDriverWait(self.chrome, LONGEST_SECONDS).until(lambda chrome: condition())

    def wait_for(self, selector: str) -> WebElement:
        """The first element of a CSS selector, as soon as there is one. Raises TimeoutException."""
        self.wait(lambda: self.chrome.find_elements("css selector", selector))
        return self.chrome.find_element("css selector", selector)

    def complaints(self) -> list[str]:
        """The messages of the console since the last call."""
        return [entry["message"] for entry in self.chrome.get_log("browser")]  # type: ignore[no-untyped-call]

    def serious_faults(self) -> list[str]:
        """The faults that axe finds in the page for those who cannot see it or use no mouse."""
        self.chrome.execute_script(AXE.read_text(encoding="utf-8"))
        result: dict[str, Any] = self.chrome.execute_async_script(
            "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then(done)"
        )
        return [
            f"{fault['id']}: {fault['nodes'][0]['html'][:200]}"
            for fault in result["violations"]
            if fault["impact"] in SERIOUS
        ]

    def is_wider_than_its_window(self) -> bool:
        """True when the page as a whole has to be scrolled sideways."""
        script = "return document.documentElement.scrollWidth > window.innerWidth"
        return bool(self.chrome.execute_script(script))

    def resize(self, width: int, height: int = 900) -> None:
        """Make the page so wide: a window is never narrower than 500 pixels, its page may be."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def dark(self, wanted: bool) -> None:
        """Prefer dark colours, or light ones."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if wanted else "light"}
        self.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def screenshot(self, name: str) -> None:
        """Keep a picture of the window."""
        if self.screenshots:
            self.screenshots.mkdir(parents=True, exist_ok=True)
            self.chrome.save_screenshot(str(self.screenshots / f"{name}.png"))


def start_chrome() -> Chrome:
    """A browser without a window. Raises SessionNotCreatedException where it cannot start."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument("--hide-scrollbars")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))


@pytest.fixture(scope="session")
def chrome() -> Iterator[Chrome]:
    """A browser for all tests; skipped where there is none."""
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        unavailable("chromium with its driver is not installed: .ci/services start installs it")
    if not AXE.is_file():
        unavailable("axe-core is not installed: npm ci in tests/pages")
    started = start_chrome()
    try:
        yield started
    finally:
        started.quit()


@pytest.fixture
def browser(chrome: Chrome) -> Browser:
    """The browser, without anything of the test before. DAINTREE_SCREENSHOTS names the directory of its pictures."""
    place = os.environ.get("DAINTREE_SCREENSHOTS")
    browser = Browser(chrome, Path(place) if place else None)
    browser.open("about:blank")
    browser.complaints()
    return browser
