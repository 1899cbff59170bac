from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from daintree.errors import EnvironmentFailed
from daintree.process import capture
from daintree.runners.environments import (
    DirectoriesInUse,
    Environments,
    find_python,
    installed_size,
    is_in_use,
)
from daintree.runners.runner import (
    bytecode_directory,
    environment_of,
    inspect_interpreter,
    site_packages,
)


class Wheels(Protocol):
    directory: Path

    def add(self, name: str, version: str, **more: Any) -> str: ...


@pytest.fixture
def environments(tmp_path: Path, wheels: Wheels) -> Environments:
    return Environments(tmp_path / "environments")


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def answer(python: Path, question: str) -> str:
    done = capture([python, "-I", "-B", "-c", question])
    assert done.code == 0, done.complaint()
    return done.stdout.decode().strip()


def silent(line: str) -> None:
    raise AssertionError(f"nothing slow was to be said: {line}")


def test_a_python_that_is_not_here_is_said() -> None:
    running = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert find_python("") == find_python(running) == sys.executable
    with pytest.raises(EnvironmentFailed, match=r"Python 3\.99, which is not on this machine") as e:
        find_python("3.99")
    assert e.value.hint == "--runner docker; or install it, e.g. uv python install 3.99"


def test_a_python_of_pyenv_is_there_though_its_shim_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = inspect_interpreter(sys.executable)
    lines = [3, 98, 1, *own.platform.split("-"), "/versions/3.98.1/bin/python3.98"]
    for path, text in (
        ("shims/python3.98", "echo 'pyenv: python3.98: command not found' >&2; exit 127"),
        ("versions/3.98.1/bin/python", "".join(f"echo {line}\n" for line in lines)),
    ):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / path).chmod(0o755)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "shims"), prepend=os.pathsep)
    assert find_python("3.98") == str(tmp_path / "versions/3.98.1/bin/python")


def test_without_requirements_there_are_no_packages(
    environments: Environments, tmp_path: Path
) -> None:
    python = environments.ensure(None, silent)
    assert answer(python, "import importlib.metadata as m; print(list(m.distributions()))") == "[]"
    comment = write(tmp_path / "requirements.txt", "# nothing")
    assert environments.ensure(comment, silent) == python
    assert environments.ensure(tmp_path / "missing.txt", silent) == python


def test_it_holds_what_the_requirements_say(
    environments: Environments, wheels: Wheels, tmp_path: Path
) -> None:
    required = [wheels.add("beta", "2.0", requires=["alpha"]), wheels.add("alpha", "1.0")]
    wheels.add("alpha", "1.1")
    lines: list[str] = []
    python = environments.ensure(write(tmp_path / "requirements.txt", *required), lines.append)
    assert python == environments.locate(tmp_path / "requirements.txt")
    assert answer(python, "import alpha, beta; print(alpha.VERSION, beta.VERSION)") == "1.0 2.0"
    assert (site_packages(python) / "beta.py").is_file()
    assert lines[0] == (
        f"installing 2 packages (size not recorded) for {tmp_path}/requirements.txt,"
        " the first time only"
    )
    assert lines[1].startswith("installed ")
    assert len(lines) == 2


def test_number_and_size_are_said_before(
    environments: Environments, wheels: Wheels, tmp_path: Path
) -> None:
    requirements = write(
        tmp_path / "requirements.txt",
        "# made by: doit lock shop/rank",
        "# installed size: 148 MB",
        wheels.add("alpha", "1.0"),
    )
    lines: list[str] = []
    environments.ensure(requirements, lines.append)
    assert lines[0] == "installing 1 package (148 MB) for shop/rank, the first time only"


def test_the_second_time_nothing_is_made(
    environments: Environments, wheels: Wheels, tmp_path: Path
) -> None:
    requirements = write(tmp_path / "requirements.txt", wheels.add("alpha", "1.0"))
    python = environments.ensure(requirements, lambda line: None)
    before = os.stat(environment_of(python)).st_ino
    assert environments.ensure(requirements, silent) == python
    assert os.stat(environment_of(python)).st_ino == before


def test_it_is_shared_by_files_that_differ_in_comments(
    environments: Environments, wheels: Wheels, tmp_path: Path
) -> None:
    line = wheels.add("alpha", "1.0")
    one = write(tmp_path / "one.txt", "# for one", line, "    # via -r requirements.in")
    other = write(tmp_path / "other.txt", line)
    python = environments.ensure(one, lambda line: None)
    assert environments.ensure(other, silent) == python


def test_other_requirements_and_other_pythons_have_their_own(
    environments: Environments, wheels: Wheels, tmp_path: Path
) -> None:
    one = write(tmp_path / "one.txt", wheels.add("alpha", "1.0"))
    other = write(tmp_path / "other.txt", wheels.add("alpha", "1.1"))
    python = tmp_path / "python"
    python.write_text(
        f"#!/bin/sh\nexec \"{sys.executable}\" -c \"print(3, 11, 0, 'linux', 'm68k', '/p', sep=chr(10))\"\n"
    )
    python.chmod(0o755)
    strange = Environments(environments.directory, python)
    places = {environments.locate(one), environments.locate(other), strange.locate(one)}
    assert len(places) == 3
    assert "venv-3.11-linux-m68k-" in str(strange.locate(one))


def test_it_works_wherever_it_was_made(
    environments: Environments, wheels: Wheels, tmp_path: Path
) -> None:
    script = {"alpha-1.0.dist-info/entry_points.txt": "[console_scripts]\nhello = alpha:hello\n"}
    module = {"alpha.py": "def hello():\n    print('hello')\n"}
    requirements = write(
        tmp_path / "requirements.txt", wheels.add("alpha", "1.0", files=script | module)
    )
    python = environments.ensure(requirements, lambda line: None)
    assert capture([python.parent / "hello"]).stdout == b"hello\n"


def test_bytecode_is_kept_in_the_environment(environments: Environments) -> None:
    python = environments.ensure(None, silent)
    assert bytecode_directory(python).parent == environment_of(python)


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ("alpha==1.0\n", "'alpha==1.0' has no hash", "doit lock"),
        ("{beta}\n", "no trusted hash was provided for: `alpha`", "doit lock"),
        ("alpha==1.0 --hash=sha256:" + "0" * 64 + "\n", "Hash mismatch for `alpha==1.0`", "index"),
        ("{old}\n", "Python implementation tag", "another Python"),
        ("gamma==1 --hash=sha256:" + "0" * 64 + "\n", "gamma", "UV_OFFLINE"),
        ("alpha==1.0 nonsense --hash=x\n", "Couldn't parse requirement", "doit lock"),
        ("-r other.txt\n", "brings in another file: -r other.txt", "one file"),
        ("-e .\n", "'-e .' is a directory", "make it a library"),
        ("--index-url https://a.example\n", "names an address", "UV_INDEX_URL"),
    ],
)
def test_what_cannot_be_installed_is_an_error_and_leaves_nothing(
    environments: Environments,
    wheels: Wheels,
    tmp_path: Path,
    content: str,
    message: str,
    hint: str,
) -> None:
    wheels.add("alpha", "1.0")
    lines = {
        "beta": wheels.add("beta", "1.0", requires=["alpha"]),
        "old": wheels.add("old", "1.0", tag="cp27-cp27m-any"),
    }
    requirements = write(tmp_path / "requirements.txt", content.format(**lines))
    with pytest.raises(EnvironmentFailed) as failure:
        environments.ensure(requirements, lambda line: None)
    assert message in failure.value.message
    assert str(requirements) in failure.value.message
    assert hint in failure.value.hint
    assert not list(environments.directory.glob("*.partial"))
    assert not environments.locate(None).exists()


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path, wheels: Wheels) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        EnvironmentFailed, match=r"file.*: (Not a directory|File exists)"
    ) as failure:
        Environments(tmp_path / "file" / "environments").ensure(None, silent)
    assert "doit config" in failure.value.hint


def test_unreadable_requirements_are_an_error(environments: Environments, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").mkdir()
    with pytest.raises(EnvironmentFailed, match=r"requirements.txt: Is a directory"):
        environments.ensure(tmp_path / "requirements.txt", silent)


def test_one_whose_python_has_gone_is_made_anew(
    environments: Environments, wheels: Wheels, tmp_path: Path
) -> None:
    requirements = write(tmp_path / "requirements.txt", wheels.add("alpha", "1.0"))
    python = environments.ensure(requirements, lambda line: None)
    python.unlink()
    python.symlink_to(tmp_path / "gone" / "python")
    assert environments.ensure(requirements, lambda line: None) == python
    assert answer(python, "import alpha; print(alpha.VERSION)") == "1.0"


MAKE = """\
import sys
import time
from collections.abc import Callable
from pathlib import Path
from daintree.runners.environments import Environments
print("go", flush=True)
Environments(Path(sys.argv[1])).ensure(Path(sys.argv[2]), lambda line: print(line, flush=True))
"""


def start(environments: Environments, requirements: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MAKE, str(environments.directory), str(requirements)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "tooling")},
        stdout=subprocess.PIPE,
        text=True,
    )


DAMAGES: dict[str, Callable[[Path], object]] = {
    "alpha.py": lambda python: (site_packages(python) / "alpha.py").unlink(),
    "/alpha.py": lambda python: (site_packages(python) / "alpha.py").write_text(""),
    "bin/python": lambda python: python.unlink(),
    "/python": lambda python: (python.unlink(), python.symlink_to("/no/interpreter")),
    "pyvenv.cfg": lambda python: (python.parents[1] / "pyvenv.cfg").unlink(),
    "files.txt": lambda python: (python.parents[1] / "files.txt").unlink(),
    "": lambda python: (shutil.rmtree(python.parents[1]), python.parents[1].mkdir()),
}


@pytest.mark.parametrize("lost", DAMAGES)
def test_one_that_has_lost_files_is_noticed_and_made_again(
    environments: Environments, wheels: Wheels, tmp_path: Path, lost: str
) -> None:
    requirements = write(tmp_path / "requirements.txt", wheels.add("alpha", "1.0"))
    python = environments.ensure(requirements, lambda line: None)
    assert environments.broken() == (1, [])
    DAMAGES[lost](python)
    name = python.parents[1].name
    assert environments.broken() == (1, [name])
    assert [path.name for path in environments.unused(time.time() + 60)] == [name]
    lines: list[str] = []
    assert environments.ensure(requirements, lines.append) == python
    assert f"{lost}: it is made again" in lines[0]
    assert answer(python, "import alpha; print(alpha.VERSION)") == "1.0"
    assert environments.broken() == (1, [])


def test_what_is_no_environment_is_left_alone(environments: Environments, tmp_path: Path) -> None:
    (environments.directory / "venv-mine/bin").mkdir(parents=True)
    assert environments.broken() == (0, [])
    assert environments.unused(time.time() + 60) == []


@pytest.mark.parametrize(
    "settings",
    [
        'required-version = "==0.0.1"\n',
        'override-dependencies = ["alpha==9"]\n',
        'constraint-dependencies = ["alpha==9"]\n',
        'no-build = "not a switch"\n',
        "this is no TOML\n",
    ],
)
@pytest.mark.parametrize("place", ["user", "project"])
def test_the_settings_of_uv_decide_nothing(
    environments: Environments,
    wheels: Wheels,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: str,
    place: str,
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    if place == "user":
        write(tmp_path / "config" / "uv" / "uv.toml", settings)
    else:
        write(tmp_path / "pyproject.toml", f"[tool.uv]\n{settings}")
        write(tmp_path / "project" / "uv.toml", settings)
    requirements = write(tmp_path / "project" / "requirements.txt", wheels.add("alpha", "1.0"))
    python = environments.ensure(requirements, lambda line: None)
    assert answer(python, "import alpha; print(alpha.VERSION)") == "1.0"


def test_processes_that_start_together_make_it_once(
    environments: Environments, wheels: Wheels, tmp_path: Path
) -> None:
    requirements = write(tmp_path / "requirements.txt", wheels.add("alpha", "1.0"))
    makers = [start(environments, requirements) for _ in range(4)]
    printed = [maker.communicate(timeout=120)[0].splitlines() for maker in makers]
    assert [maker.returncode for maker in makers] == [0] * 4
    installing = [line for lines in printed for line in lines if line.startswith("installing")]
    waiting = [line for lines in printed for line in lines if line.startswith("the environment")]
    assert len(installing) == 1
    assert set(waiting) <= {f"the environment for {requirements} is being made already; waiting"}


def test_a_killed_maker_leaves_nothing_that_is_used(
    environments: Environments, wheels: Wheels, tmp_path: Path
) -> None:
    requirements = write(tmp_path / "requirements.txt", wheels.add("alpha", "1.0"))
    maker = start(environments, requirements)
    assert maker.stdout is not None
    for line in maker.stdout:
        if line.startswith("installing"):
            break
    maker.send_signal(signal.SIGKILL)
    maker.communicate(timeout=60)
    python = environments.ensure(requirements, lambda line: None)
    assert answer(python, "import alpha; print(alpha.VERSION)") == "1.0"
    assert not list(environments.directory.glob("*.partial"))


def test_one_that_is_removed_while_it_is_made_is_one_message(
    environments: Environments, wheels: Wheels, tmp_path: Path
) -> None:
    requirements = write(tmp_path / "requirements.txt", wheels.add("alpha", "1.0"))

    def announce(line: str) -> None:
        if line.startswith("installed "):
            [partial] = environments.directory.glob("*.partial")
            shutil.rmtree(partial)

    with pytest.raises(EnvironmentFailed, match=r"cannot write to .*: No such file or directory"):
        environments.ensure(requirements, announce)


def test_what_is_left_of_a_killed_maker_is_thrown_away(
    environments: Environments, wheels: Wheels, tmp_path: Path
) -> None:
    requirements = write(tmp_path / "requirements.txt", wheels.add("alpha", "1.0"))
    final = environment_of(environments.locate(requirements))
    stale = write(final.with_name(final.name + ".partial") / "lib" / "half", "half")
    environments.ensure(requirements, lambda line: None)
    assert not stale.exists()
    assert not (final / "lib" / "half").exists()


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (999, "999 B"), (26_400_000, "26 MB"), (1_250_000_000, "1.2 GB")],
)
def test_sizes_are_read_easily(tmp_path: Path, size: int, words: str) -> None:
    (tmp_path / "lib").mkdir()
    with open(tmp_path / "lib" / "package", "wb") as file:
        file.truncate(size)
    assert installed_size(tmp_path / "bin" / "python") == words


def test_a_directory_is_in_use_as_long_as_somebody_has_it(tmp_path: Path) -> None:
    here, other = tmp_path / "here", tmp_path / "other"
    here.mkdir()
    first, second = DirectoriesInUse(), DirectoriesInUse()
    for user in (first, second, second):
        user.add(here)
        user.add(other)
    assert is_in_use(here)
    del first
    assert is_in_use(here)
    del second, user
    assert not is_in_use(here)
    assert not is_in_use(other)


def test_a_directory_that_was_made_anew_is_in_use_too(tmp_path: Path) -> None:
    here = tmp_path / "here"
    user = DirectoriesInUse()
    for _ in range(2):
        here.mkdir()
        user.add(here)
        assert is_in_use(here)
        here.rmdir()
