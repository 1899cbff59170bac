"""The projects that are measured: this one, generated chains of stages, and the same as DVC pipelines."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from contenders import PROJECT, bare_python, dvc

from daintree.spec.pipeline import load_pipeline

COMPONENT = "bench/pass-on"
PIPELINE = "chain"
SCRIPT = '''"""Copy a file and add a line to it."""

import argparse
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--input", type=Path, required=True)
parser.add_argument("--output", type=Path, required=True)
parser.add_argument("--step", type=int, default=0)
arguments = parser.parse_args()
arguments.output.mkdir(parents=True, exist_ok=True)
[source] = arguments.input.iterdir()
line = f"{arguments.step}\\n".encode()
(arguments.output / "content").write_bytes(source.read_bytes() + line)
'''
REMOTE = "minio"
FILLED = "filled"
FILL_SCRIPT = '''"""Write a large file and many small ones, of bytes that are random and the same each time."""

import argparse
import random
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--input", type=Path, required=True)
parser.add_argument("--output", type=Path, required=True)
parser.add_argument("--step", type=int, required=True)
parser.add_argument("--mebibytes", type=int, required=True)
parser.add_argument("--files", type=int, required=True)
arguments = parser.parse_args()
numbers = random.Random(arguments.step)
arguments.output.mkdir(parents=True, exist_ok=True)
with open(arguments.output / "large", "wb") as large:
    for _ in range(arguments.mebibytes):
        large.write(numbers.randbytes(1 << 20))
for number in range(arguments.files):
    (arguments.output / f"small-{number:05}").write_bytes(numbers.randbytes(100 << 10))
'''


def commit(directory: Path) -> None:
    """Make a directory a git repository with one commit of all that is in it."""
    identity = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@example.org")
    git = ("git", "-c", "init.defaultBranch=main", "-c", "gc.auto=0", *identity)
    for arguments in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "-m", "start")):
        subprocess.run([*git, *arguments], cwd=directory, check=True)


def copy_of_this_project(target: Path) -> Path:
    """The project as it is in the working tree, in a repository of its own."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=PROJECT, check=True, capture_output=True).stdout
    for name in sorted(set(listed.decode("utf-8").split("\0")) - {""}):
        if (PROJECT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, target / name)
    commit(target)
    return target


def new_project(target: Path) -> None:
    """This project's settings, without its components and pipelines; nothing is committed yet."""
    target.mkdir(parents=True)
    for name in ("pyproject.toml", "dodo.py", ".gitignore"):
        shutil.copy(PROJECT / name, target / name)


def chain(target: Path, stages: int, *, components: int = 1) -> Path:
    """A project whose pipeline `chain` has so many trivial stages in a row, made of so many components."""
    new_project(target)
    names = [f"{COMPONENT}-{number}" for number in range(components)]
    for name in names:
        write_component(target / "components" / name)
    listed = [
        {
            "name": f"s{step}",
            "component": names[step % components],
            "params": {"step": step},
        }
        for step in range(stages)
    ]
    _write_json(
        target / "pipelines" / f"{PIPELINE}.json", {"source": "start.txt", "stages": listed}
    )
    (target / "start.txt").write_text("start\n", encoding="utf-8")
    commit(target)
    return target


def filled(target: Path, stages: int, mebibytes: int, files: int) -> Path:
    """A project whose pipeline `filled` has stages that write a file of so many MiB and so many of 100 KiB each."""
    new_project(target)
    sizes = {"mebibytes": mebibytes, "files": files}
    write_component(target / "components" / "bench" / "fill", FILL_SCRIPT, ("step", *sizes))
    listed = [
        {"name": f"s{step}", "component": "bench/fill", "params": {"step": step, **sizes}}
        for step in range(stages)
    ]
    _write_json(target / "pipelines" / f"{FILLED}.json", {"source": "start.txt", "stages": listed})
    (target / "start.txt").write_text("start\n", encoding="utf-8")
    commit(target)
    return target


def write_component(
    directory: Path, script: str = SCRIPT, parameters: Sequence[str] = ("step",)
) -> None:
    """A component of one script of the standard library alone, with these numbers for parameters; the trivial one by default."""
    directory.mkdir(parents=True)
    (directory / "main.py").write_text(script, encoding="utf-8")
    (directory / "requirements.txt").touch()
    (directory / "Dockerfile").write_text("FROM python:3.11-slim\n", encoding="utf-8")
    lines = "".join(f"  {name}: {{type: int, default: 0}}\n" for name in parameters)
    (directory / "component.yaml").write_text(f"params:\n{lines}", encoding="utf-8")


def dvc_chain(target: Path, stages: int, environment: Mapping[str, str]) -> Path:
    """The same chain as a DVC pipeline: the same script, each stage on the output of the one before."""
    target.mkdir(parents=True)
    (target / "start").mkdir()
    (target / "start" / "start.txt").write_text("start\n", encoding="utf-8")
    (target / "main.py").write_text(SCRIPT, encoding="utf-8")
    before, table = "start", {}
    for step in range(stages):
        after = f"s{step}"
        table[after] = _dvc_stage(before, after, ["main.py"], step)
        before = after
    return _dvc_repository(target, table, environment)


def dvc_item2vec(target: Path, environment: Mapping[str, str]) -> Path:
    """item2vec as a DVC pipeline: its stages depend on the same files, but run the trivial script."""
    pipeline = load_pipeline(PROJECT, "item2vec", reserved=())
    components, library = Path("components"), Path("components/lib/stageio")
    for name in (library, *(components / stage.component for stage in pipeline.stages)):
        shutil.copytree(
            PROJECT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "tests")
        )
    (target / "start").mkdir()
    shutil.copy(PROJECT / pipeline.sources[""].location, target / "start")
    (target / "main.py").write_text(SCRIPT, encoding="utf-8")
    before, table = "start", {}
    for step, stage in enumerate(pipeline.stages):
        code = ["main.py", str(components / stage.component), str(library)]
        table[stage.name] = _dvc_stage(before, stage.name, code, step)
        before = stage.name
    return _dvc_repository(target, table, environment)


def dvc_twin(
    target: Path,
    project: Path,
    pipeline: str,
    outputs: Path,
    remote: Mapping[str, str],
    environment: Mapping[str, str],
) -> Path:
    """A pipeline as a DVC pipeline with a remote: stages that depend on the same files and copy what ours have written.

    `outputs` holds that, as `doit pull` has left it.
    """
    loaded = load_pipeline(project, pipeline, reserved=())
    shutil.copytree(project / "components", target / "components")
    (target / "start").mkdir()
    shutil.copy(project / loaded.sources[""].location, target / "start")
    before, table = "start", {}
    for stage in loaded.stages:
        table[stage.name] = {
            "cmd": f"cp -R {outputs / stage.name / 'output'} {stage.name}",
            "deps": [f"components/{stage.component}", before],
            "outs": [stage.name],
        }
        before = stage.name
    _dvc_repository(target, table, environment)
    options = "".join(f"    {name} = {value}\n" for name, value in remote.items())
    with open(target / ".dvc" / "config", "a", encoding="utf-8") as config:
        config.write(f"    remote = {REMOTE}\n['remote \"{REMOTE}\"']\n{options}")
    return target


def _dvc_stage(before: str, after: str, code: Sequence[str], step: int) -> dict[str, object]:
    command = f"{bare_python()} main.py --input {before} --output {after} --step {step}"
    return {"cmd": command, "deps": [*code, before], "outs": [after]}


def _dvc_repository(
    target: Path, stages: Mapping[str, object], environment: Mapping[str, str]
) -> Path:
    subprocess.run(["git", "init", "--quiet"], cwd=target, check=True)
    subprocess.run([dvc(), "init", "--quiet"], cwd=target, check=True, env=environment)
    quiet = "[core]\n    analytics = false\n    check_update = false\n"
    (target / ".dvc" / "config").write_text(quiet, encoding="utf-8")
    _write_json(target / "dvc.yaml", {"stages": stages})
    commit(target)
    return target


def doit_project(target: Path) -> Path:
    """An ordinary doit project with one task, which has a file to depend on and a target."""
    target.mkdir(parents=True)
    (target / "dodo.py").write_text(
        "def task_copy():\n"
        '    return {"actions": ["cp before after"], "file_dep": ["before"], "targets": ["after"]}\n',
        encoding="utf-8",
    )
    (target / "before").write_text("start\n", encoding="utf-8")
    return target


def many_components(target: Path, components: int, files: int) -> Path:
    """A project of so many components with so many small files each besides what makes a component."""
    new_project(target)
    for number in range(components):
        directory = target / "components" / f"group-{number % 10}" / f"component-{number:04}"
        write_component(directory)
        for part in range(files - len(list(directory.iterdir()))):
            path = directory / f"package-{part % 5}" / f"module_{part:03}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"NUMBER = {number}\nPART = {part}\n", encoding="utf-8")
    commit(target)
    return target


def _write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
