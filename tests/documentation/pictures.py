"""Pictures of the pages in the documentation: `python -m tests.documentation.pictures`, from a run of item2vec in this repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.services.browser import Browser, start_chrome

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "images"
DOIT = Path(sys.executable).with_name("doit")
WIDTH = 1180
# Several runs, so that there is something to compare; the last one is as the pipeline says.
EPOCHS = (10, 15, 25)
# The height of each picture; what is below is cut.
PAGES = {
    "pipeline": ("pipelines/item2vec/index.html", 560),
    "metrics": ("pipelines/item2vec/metrics.html", 560),
    "run": ("runs/{train}/index.html", 820),
}


def main() -> None:
    """Run the pipeline in a store of its own, write its report, and take the pictures."""
    with tempfile.TemporaryDirectory() as directory:
        environ = {**os.environ, "DAINTREE_STORE": f"{directory}/store", "LOGNAME": "ana"}

        def doit(*arguments: str) -> str:
            done = subprocess.run(
                [DOIT, *arguments], cwd=ROOT, env=environ, check=True, stdout=subprocess.PIPE
            )
            return done.stdout.decode()

        for epochs in EPOCHS:
            doit("run", "item2vec", "--set", f"train.epochs={epochs}")
        train = json.loads(doit("history", "item2vec:train", "--json"))["runs"][0]["run"]
        doit("report", "item2vec", "--out", f"{directory}/report")
        chrome = start_chrome()
        try:
            browser = Browser(chrome, PICTURES)
            browser.dark(False)
            for name, (page, height) in PAGES.items():
                browser.resize(WIDTH, height)
                browser.open(f"file://{directory}/report/{page.format(train=train)}")
                browser.screenshot(name)
        finally:
            chrome.quit()
        for place in Path(directory).rglob("*/"):
            place.chmod(0o755)


if __name__ == "__main__":
    main()
