"""What every command prints is what its transcript says: stdout, stderr and exit code."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from daintree.commands.command import COMMANDS
from tests.e2e.projects import REPOSITORY, Project
from tests.e2e.shared_bucket import machine
from tests.golden.screen import SCREENS, normalised, transcript

TRANSCRIPTS = sorted(SCREENS.glob("*.txt"))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: f"transcript-{path.stem}")
def test_commands_print_what_their_transcript_says(
    path: Path, project: Project, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    golden = path.read_text(encoding="utf-8")
    places = {
        str(REPOSITORY): "<repository>",
        sys.prefix: "<environment>",
        str(project.root): "<project>",
        project.environ["DAINTREE_ENVIRONMENTS"]: "<environments>",
        str(tmp_path): "<directory>",
    }
    if golden.startswith("# needs: store\n"):
        bucket = request.getfixturevalue("bucket")
        project = machine(project, bucket, "laptop")
        places[bucket.access.endpoint] = "<endpoint>"
    environ = {**project.environ, "USER": "ana", "REPOSITORY": str(REPOSITORY)}
    printed = transcript(golden, project.root, environ, places)
    if request.config.getoption("--renew-screens"):
        path.write_text(printed, encoding="utf-8")
    assert printed.splitlines() == path.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_screen_that_succeeds_or_says_what_it_lacks(command: str) -> None:
    typed = re.compile(rf"^\$ (?:.*; |timeout .*)?doit {command}\b", re.MULTILINE)
    screens = [path.read_text(encoding="utf-8") for path in TRANSCRIPTS]
    assert any(typed.search(screen) for screen in screens)


def test_only_what_varies_is_brought_to_one_form() -> None:
    printed = "/home/ana/x  20261127T175825346Z-eda75fab  0.52 s    8.8 kB  3 files, exit code 17"
    assert normalised(printed, {"/home/ana": "~"}) == (
        "~/x  <run>  <duration>  <size>  3 files, exit code 17"
    )
