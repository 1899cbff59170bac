from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import stageio
from conftest import PRINTS_ARGUMENTS, Stage
from stageio import StageError
from stageio.parameters import parse

FAILS = """\
from stageio import StageError, run

def main(*, input, output, epochs, rate, on_error, verbose, name):
    (output / "half").mkdir()
    (output / "half" / "written.csv").write_text("x")
    (output / "link").symlink_to(input)
    {failure}

if __name__ == "__main__":
    run(main)
"""


def test_a_parameter_that_is_not_given_has_its_default(stage: Stage, source: Path) -> None:
    output = source.with_name("output")
    answer = stage("--input", source, "--output", output)
    assert json.loads(answer.stdout) == {
        "input": str(source),
        "output": str(output),
        "epochs": 50,
        "rate": 1.0,
        "on_error": "fail",
        "verbose": False,
        "name": "",
    }
    assert (answer.returncode, answer.stderr) == (0, "")
    assert list(output.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["--epochs", "7"], "epochs", 7),
        (["--epochs=-7"], "epochs", -7),
        (["--epochs", "1", "--epochs", "2"], "epochs", 2),
        (["--rate", "1e-3"], "rate", 0.001),
        (["--on-error", "skip"], "on_error", "skip"),
        (["--on_error", "skip"], "on_error", "skip"),
        (["--on_error=skip"], "on_error", "skip"),
        (["--verbose"], "verbose", True),
        (["--verbose", "true"], "verbose", True),
        (["--verbose=False"], "verbose", False),
        (["--name", "'; touch x; # é"], "name", "'; touch x; # é"),
        (["--name=--a_b=c"], "name", "--a_b=c"),
        (["--name", ""], "name", ""),
    ],
)
def test_a_parameter_is_given_by_its_flag(
    stage: Stage, source: Path, arguments: list[str], name: str, value: object
) -> None:
    answer = stage("--input", source, "--output", source.with_name("output"), *arguments)
    assert json.loads(answer.stdout)[name] == value


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["--epoch", "3"], "unknown argument --epoch", "did you mean --epochs?"),
        (["--zzz=1"], "unknown argument --zzz", "the flags are --input, --output, --epochs"),
        (["--epochs", "x"], "argument --epochs: expected int, got 'x'", "main.py --help"),
        (["--rate", "nan"], "argument --rate: expected float, got 'nan'", "main.py --help"),
        (["--verbose=7"], "argument --verbose: expected true or false, got '7'", "main.py"),
        (["--on-error=no"], "--on-error: expected one of fail, skip, got 'no'", "main.py"),
        (["--name", "--x"], "argument --name: expected one argument", "--name=VALUE"),
    ],
)
def test_a_wrong_argument_is_one_clear_message(
    stage: Stage, source: Path, arguments: list[str], message: str, hint: str
) -> None:
    output = source.with_name("output")
    answer = stage("--input", source, "--output", output, *arguments)
    error, advice = answer.stderr.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert advice.startswith("hint: ")
    assert hint in advice
    assert answer.returncode == 1
    assert not output.exists()


def test_help_lists_the_parameters(stage: Stage) -> None:
    answer = stage("--help")
    assert answer.returncode == 0
    assert "a component for the tests, 100 %" in answer.stdout
    assert "passes over 100 % of the rows (default: 50)" in answer.stdout


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("Epochs: {type: int, default: 1}", "params.Epochs: a name is made of"),
        ("input: {type: int, default: 1}", "params.input: this name is reserved"),
        ("lambda: {type: int, default: 1}", "params.lambda: this name is reserved"),
        ("epochs: 50", "params.epochs: expected a mapping with a type, which is one of int"),
        ("epochs: {type: date, default: 1}", "a type, which is one of int, float, str, bool"),
        ("epochs: {type: int, default: x}", "params.epochs: expected int, got 'x'"),
        ("epochs: {type: int, default: 1, choices: [2]}", "epochs: expected one of 2, got '1'"),
        ("epochs: {type: int, default: 1, choices: [x]}", "epochs: expected int, got 'x'"),
        ("epochs: [", "component.yaml: not valid YAML"),
        ("more: {type: int, default: 1}", "component.yaml and main() differ: "),
    ],
)
def test_a_wrong_declaration_is_an_error_with_its_key(
    stage: Stage, source: Path, params: str, message: str
) -> None:
    strict = "from stageio import run\ndef main(*, input, output): ...\nrun(main)\n"
    answer = stage(
        "--input", source, "--output", source.with_name("output"),
        source=strict, description=f"params:\n  {params}\n",
    )  # fmt: skip
    assert answer.returncode == 1
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("{type: str, default: no, choices: [no, on]}", "no"),
        ("{type: str, default: 1:30}", "1:30"),
        ("{type: str, default: 2026-03-01}", "2026-03-01"),
        ("{type: float, default: 1e-3}", 0.001),
        ("{type: int, default: 3, choices: [1, 3]}", 3),
        ("{type: bool, default: true}", True),
    ],
)
def test_a_default_is_what_the_text_says(
    stage: Stage, source: Path, declared: str, value: object
) -> None:
    answer = stage(
        "--input", source, "--output", source.with_name("output"),
        description=f"params:\n  x: {declared}\n",
    )  # fmt: skip
    assert answer.stderr == ""
    assert json.loads(answer.stdout)["x"] == value


def test_a_parameter_without_a_default_must_be_given(stage: Stage, source: Path) -> None:
    flags = ["--input", source, "--output", source.with_name("output")]
    description = "params:\n  rows: {type: int}\n"
    assert json.loads(stage(*flags, "--rows=2", description=description).stdout)["rows"] == 2
    answer = stage(*flags, description=description)
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: the following arguments are required: --rows\n")


@pytest.mark.parametrize(
    ("failure", "code", "stderr"),
    [
        ("raise StageError('bad row', 'mend it')", 1, "error: bad row\nhint: mend it\n"),
        ("raise StageError('bad row')", 1, "error: bad row\n"),
        ("open('/nowhere/x')", 1, "error: /nowhere/x: No such file or directory\n"),
        ("raise KeyboardInterrupt", 130, ""),
        ("raise MemoryError", 1, "error: out of memory\nhint: raise resources.memory of the "),
        ("import os; os.kill(os.getpid(), 15)", 143, ""),
    ],
)
def test_a_failed_stage_leaves_its_output_empty(
    stage: Stage, source: Path, failure: str, code: int, stderr: str
) -> None:
    output = source.with_name("output")
    answer = stage("--input", source, "--output", output, source=FAILS.format(failure=failure))
    assert answer.returncode == code
    assert answer.stderr.startswith(stderr)
    assert bool(answer.stderr) == bool(stderr)
    assert list(output.iterdir()) == []
    assert (source / "a.csv").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_one_clear_message(stage: Stage, source: Path) -> None:
    failure = "open('/dev/full', 'wb', buffering=0).write(b'x')"
    answer = stage(
        "--input", source, "--output", source.with_name("output"),
        source=FAILS.format(failure=failure),
    )  # fmt: skip
    assert answer.stderr.splitlines() == [
        "error: No space left on device",
        "hint: free some space, or give the stage a larger disk",
    ]


def test_a_bug_keeps_its_traceback(stage: Stage, source: Path) -> None:
    output = source.with_name("output")
    answer = stage("--input", source, "--output", output, source=FAILS.format(failure="1 / 0"))
    assert "ZeroDivisionError" in answer.stderr
    assert list(output.iterdir()) == []


def test_an_output_that_is_not_empty_is_left_alone(stage: Stage, source: Path) -> None:
    answer = stage("--input", source, "--output", source)
    assert f"error: --output {source}: not empty, it holds a.csv" in answer.stderr
    assert (source / "a.csv").exists()


def test_an_output_that_is_a_file_is_an_error(stage: Stage, source: Path) -> None:
    answer = stage("--input", source, "--output", source / "a.csv")
    assert "a.csv: not a directory" in answer.stderr


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("missing", "missing: no such file or directory"),
        ("input/a.csv", "a.csv: not a directory"),
        ("http://127.0.0.1/a", "--input: this component does not read a URL"),
    ],
)
def test_an_input_that_cannot_be_read_is_an_error(
    stage: Stage, source: Path, given: str, message: str
) -> None:
    given = given if "://" in given else str(source.parent / given)
    answer = stage("--input", given, "--output", source.with_name("output"))
    assert message in answer.stderr
    assert answer.returncode == 1


@pytest.mark.parametrize("given", ["a.csv", "."])
def test_a_connector_is_given_a_file_or_a_directory(stage: Stage, source: Path, given: str) -> None:
    connector = PRINTS_ARGUMENTS.replace("run(main)", "run(main, accepts_url=True)").replace(
        "json.dumps(arguments, default=str, sort_keys=True)",
        "arguments['input']",
    )
    answer = stage(
        "--input", source / given, "--output", source.with_name("output"), source=connector
    )
    assert answer.stdout == f"{source / given}\n"


def test_where_data_is_mounted_its_directories_are_input_and_output(tmp_path: Path) -> None:
    values = parse({}, [], "main.py", tmp_path)
    assert values == {"input": f"{tmp_path}/input", "output": f"{tmp_path}/output"}
    values = parse({}, ["--input", "s3://bucket/in"], "main.py", tmp_path)
    assert values == {"input": "s3://bucket/in", "output": f"{tmp_path}/output"}


def test_elsewhere_input_and_output_must_be_given(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="the following arguments are required: --input, --output"):
        parse({}, [], "main.py", tmp_path / "missing")


def test_a_component_without_tables_does_not_import_pandas() -> None:
    script = "import sys\nfrom stageio import StageError, run\nassert 'pandas' not in sys.modules\n"
    script += "from stageio import read_table\nassert 'pandas' in sys.modules\n"
    path = str(Path(stageio.__file__).parents[1])
    subprocess.run(
        [sys.executable, "-c", script], check=True, env={**os.environ, "PYTHONPATH": path}
    )
