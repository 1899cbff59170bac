"""The names that no pipeline may have: doit's commands, the tooling's, and the project's own tasks."""

from __future__ import annotations

import re
from pathlib import Path

COMMANDS: dict[str, str] = {
    "run": "run pipelines or tasks; stages whose output is in the store are skipped",
    "watch": "run a pipeline whenever its source has changed",
    "plan": "show what a run would do, and why; runs nothing",
    "graph": "draw a pipeline and its plan",
    "path": "print where a stage's output lies, for notebooks",
    "pull": "copy a stage's last inputs and output out of the store",
    "push": "publish what this machine has computed for itself to the shared store",
    "shell": "open a stage's environment on its last inputs, its command ready",
    "serve": "serve a pipeline's latest model over HTTP on this machine",
    "monitor": "compare what a service has served with what its model was trained on",
    "history": "list the runs of a pipeline or stage, failed ones too",
    "metrics": "table what past runs measured, best first",
    "diff": "compare two runs: what went into them, what came out, what before them differs",
    "name": "give runs a name, such as production, that commands and pipelines take",
    "export": "write runs into an MLflow server, each once",
    "show": "show one run whole: inputs, outputs, reason, log",
    "ui": "look at pipelines, runs and metrics in a browser, on this machine",
    "report": "write the pages of pipelines as files, for CI or a mail",
    "argo": "write what a pipeline misses as an Argo Workflow",
    "submit": "run what a pipeline misses in the cluster, as an Argo Workflow",
    "logs": "print what the stages of a pipeline say in the cluster",
    "cancel": "stop a pipeline's Workflow; what has succeeded is recorded",
    "record": "record what a Workflow's stages have put out, so that it is a hit",
    "affected": "name the components that a git change affects, and why",
    "build": "build the images that are missing, and push them",
    "hooks": "build images after each commit: switch git hooks on or off",
    "list": "show pipelines, tasks and commands",
    "new": "write a project, a component or a pipeline from a template",
    "lock": "compile a component's requirements into one hash-locked file",
    "store": "show where the artifact store is and how large; clear up after interrupted runs",
    "gc": "free space in the store and on this machine; keep what pipelines reach",
    "doctor": "check that this machine or the cluster has all that a runner needs",
    "services": "check which services can be reached; make the store's bucket",
    "config": "print every setting and where its value comes from",
    "schema": "print the JSON Schema of pipeline or component files",
}
DOIT_COMMANDS = (
    "clean", "completion", "dumpdb", "forget", "help", "ignore", "info", "reset-dep", "strace", "tabcompletion",
)  # fmt: skip
_TASK = re.compile(rb"\btask_([A-Za-z0-9_]+)")


def reserved_names(root: Path) -> frozenset[str]:
    """Every name that is taken in this project; dodo.py is read, not run, so that a no-op stays quick."""
    try:
        tasks = [name.decode() for name in _TASK.findall((root / "dodo.py").read_bytes())]
    except OSError:
        tasks = []
    return frozenset((*COMMANDS, *DOIT_COMMANDS, *tasks))
