"""The modules of ours that a run loads: a ratchet, since each of them costs every command something."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.projects import Project

# Printed when the process ends, by a sitecustomize that is on no other path.
PRINTER = """
import atexit, json, sys

@atexit.register
def write():
    loaded = {
        name: getattr(module, "__file__", None)
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] == "daintree"
    }
    with open(sys.argv[0] and LOADED, "w") as file:
        json.dump({name: path for name, path in loaded.items() if path}, file)
"""
# Whoever makes one smaller lowers its limit; 8,500 lines are the aim.
COMPUTING = (48, 12_880)
NOTHING_TO_DO = (42, 10_650)


def loaded(project: Project, *options: str) -> tuple[int, int]:
    """(modules, lines) of ours that `doit run solo` loads; the environment is there."""
    place = project.root.parent / "loaded.json"
    directory = project.root.parent / "printer"
    directory.mkdir(exist_ok=True)
    text = PRINTER.replace("sys.argv[0] and LOADED", repr(str(place)))
    (directory / "sitecustomize.py").write_text(text)
    finished = project.doit("run", "solo", *options, env={"PYTHONPATH": str(directory)})
    assert finished.code == 0, finished.stderr
    files = json.loads(place.read_text()).values()
    return len(files), sum(open(file, encoding="utf-8").read().count("\n") for file in files)


def test_a_run_of_one_stage_loads_no_more_than_it_did(project: Project) -> None:
    project.pipeline("solo", "text/load")
    # Making an environment is work of its own, done once.
    project.run("solo")
    computing = loaded(project, "--force", "load")
    nothing_to_do = loaded(project)
    assert computing <= COMPUTING, computing
    assert computing[1] <= COMPUTING[1], computing
    assert nothing_to_do <= NOTHING_TO_DO, nothing_to_do
    assert nothing_to_do[1] <= NOTHING_TO_DO[1], nothing_to_do
