from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.components import ComponentVersion, read_versions
from daintree.components.snapshot import (
    changed_snapshots,
    check_place,
    make_snapshot,
    make_snapshots,
    unused_snapshots,
)
from daintree.errors import VersionError

if TYPE_CHECKING:
    from tests.conftest import Monorepo


def version(monorepo: Monorepo) -> ComponentVersion:
    return read_versions(monorepo.root, ["a"], platform="linux/amd64", bases={})["a"]


@pytest.fixture
def project(monorepo: Monorepo) -> Monorepo:
    monorepo.component(
        "a", {"component.yaml": "uses: [lib/stageio]\n", "größe 1": "x", "in/ner": ""}
    )
    monorepo.write("components/a/run.sh", "#!/bin/sh\n", mode=0o755)
    monorepo.write("components/a/tests/test_main.py", "")
    monorepo.write("components/a/x.log", "ignored")
    monorepo.write(".gitignore", "*.log\n")
    monorepo.library("lib/stageio", {"__init__.py": "", "paths.py": "x = 1\n"})
    (monorepo.root / "components/a/link").symlink_to("in")
    monorepo.commit()
    return monorepo


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "snap shots"


def contents(directory: Path) -> dict[str, str | bytes]:
    files: dict[str, str | bytes] = {}
    for path in sorted(directory.rglob("*")):
        if path.is_symlink():
            files[str(path.relative_to(directory))] = f"-> {os.readlink(path)}"
        elif path.is_file():
            files[str(path.relative_to(directory))] = path.read_bytes()
    return files


EXPECTED: dict[str, str | bytes] = {
    "Dockerfile": b"FROM python:3.11-slim\nCOPY . /application/\n",
    "component.yaml": b"uses: [lib/stageio]\n",
    "größe 1": b"x",
    "in/ner": b"",
    "link": "-> in",
    "main.py": b"print(1)\n",
    "run.sh": b"#!/bin/sh\n",
    "stageio/__init__.py": b"",
    "stageio/paths.py": b"x = 1\n",
}


def test_exactly_the_files_of_the_version(project: Monorepo, into: Path) -> None:
    component = version(project)
    made = make_snapshot(component, into)
    assert made == into / component.digest.removeprefix("sha256:")
    assert contents(made) == EXPECTED
    assert [path.name for path in into.iterdir()] == [made.name]


def test_read_only_with_fixed_times(project: Monorepo, into: Path) -> None:
    made = make_snapshot(version(project), into)
    modes = {
        path.name: stat.S_IMODE(path.lstat().st_mode) for path in made.rglob("*") if path.is_file()
    }
    assert modes.pop("run.sh") == 0o555
    assert set(modes.values()) == {0o444, stat.S_IMODE((made / "link").lstat().st_mode)} - {0o777}
    assert {path.lstat().st_mtime for path in made.rglob("*") if not path.is_dir()} == {315_532_800}


def test_what_is_there_is_used_as_it_is(project: Monorepo, into: Path) -> None:
    component = version(project)
    before = make_snapshot(component, into).stat().st_ino
    project.write("components/a/main.py", "print(2)\n")
    os.utime(into / component.digest.removeprefix("sha256:"), (1, 1))
    made = make_snapshot(component, into)
    assert made.stat().st_ino == before
    assert contents(made) == EXPECTED
    assert unused_snapshots(into, before=2) == [], "it was used just now"


def test_the_default_dockerfile_is_among_them(project: Monorepo, into: Path) -> None:
    (project.root / "components/a/Dockerfile").unlink()
    made = make_snapshot(version(project), into)
    assert contents(made).keys() == EXPECTED.keys()
    assert b"ENTRYPOINT" in (made / "Dockerfile").read_bytes()


def test_snapshots_that_nobody_has_used_since_a_time(into: Path) -> None:
    names = ["b" * 64, "a" * 64, "c" * 64, "f" * 63, "a" * 64 + ".converted"]
    for name in names:
        (into / name).mkdir(parents=True)
        os.utime(into / name, (10, 10))
    os.utime(into / ("c" * 64), (20, 20))
    assert unused_snapshots(into, before=20) == [into / ("a" * 64), into / ("b" * 64)]


def test_a_place_where_none_could_be_made_is_said_before(project: Monorepo, into: Path) -> None:
    component = version(project)
    check_place(component, into)
    assert not into.exists()
    make_snapshot(component, into)
    check_place(component, into)
    project.write("components/a/main.py", "print(2)\n")
    with pytest.raises(VersionError, match=r"no snapshot can be made in .*/file: "):
        check_place(version(project), project.write("file", ""))


def test_another_version_is_another_snapshot(project: Monorepo, into: Path) -> None:
    first = make_snapshot(version(project), into)
    project.write("components/a/main.py", "print(2)\n")
    second = make_snapshot(version(project), into)
    assert contents(first) == EXPECTED
    assert contents(second) == {**EXPECTED, "main.py": b"print(2)\n"}


def overwrite(made: Path) -> None:
    """Change a byte, and put size and times back."""
    (made / "main.py").chmod(0o644)
    (made / "main.py").write_bytes(b"print(2)\n")
    (made / "main.py").chmod(0o444)
    os.utime(made / "main.py", (315_532_800, 315_532_800))


def relink(made: Path) -> None:
    (made / "link").unlink()
    (made / "link").symlink_to("/etc")


@pytest.mark.parametrize(
    "damage",
    [
        overwrite,
        relink,
        lambda made: (made / "main.py").unlink(),
        lambda made: (made / "stageio" / "new.py").write_bytes(b""),
        lambda made: (made / "run.sh").chmod(0o444),
        lambda made: (made / "outside").symlink_to("/etc"),
        lambda made: made.rename(made.with_name("elsewhere")) and made.mkdir(),
        lambda made: made.rename(made.with_name("elsewhere")) and made.write_bytes(b"no directory"),
    ],
)
def test_a_damaged_snapshot_is_made_anew(
    project: Monorepo, into: Path, damage: Callable[[Path], object]
) -> None:
    component = version(project)
    made = make_snapshot(component, into)
    damage(made)
    again = make_snapshot(component, into)
    assert contents(again) == EXPECTED
    assert (again / "run.sh").stat().st_mode & 0o111
    assert not list(into.glob(".*"))


def test_bytecode_that_python_leaves_is_no_damage(project: Monorepo, into: Path) -> None:
    component = version(project)
    made = make_snapshot(component, into)
    (made / "stageio" / "__pycache__").mkdir()
    (made / "stageio" / "__pycache__" / "paths.cpython-311.pyc").write_bytes(b"")
    before = made.stat().st_ino
    assert make_snapshot(component, into).stat().st_ino == before


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.write_bytes(b"print(2)\n"),
        lambda file: file.unlink() or file.symlink_to("run.sh"),
        lambda file: file.unlink() or file.mkdir(),
        lambda file: file.unlink() or os.mkfifo(file),
        lambda file: file.unlink(),
    ],
)
def test_a_file_that_changed_meanwhile_is_as_it_was_hashed(
    project: Monorepo, into: Path, change: Callable[[Path], object]
) -> None:
    project.write("components/a/main.py", "print(0)\n")
    component = version(project)
    change(project.root / "components/a/main.py")
    assert contents(make_snapshot(component, into)) == {**EXPECTED, "main.py": b"print(0)\n"}


def test_a_sparse_checkout(project: Monorepo, into: Path) -> None:
    project.git("sparse-checkout", "set", "components/b")
    assert contents(make_snapshot(version(project), into)) == EXPECTED


def test_several_at_once(project: Monorepo, into: Path) -> None:
    project.component("b", {"*": "star\n", ".gitattributes": "* eol=crlf\n"})
    both = read_versions(project.root, ["a", "b"], platform="linux/amd64", bases={})
    first, second = make_snapshots([both["a"], both["b"]], into)
    assert contents(first) == EXPECTED
    assert contents(second)["*"] == b"star\r\n"
    assert make_snapshots([both["b"], both["a"]], into) == [second, first]


@pytest.mark.parametrize(
    ("attributes", "on_disk", "expected"),
    [
        ("* text=auto", b"$Id$\r\n", b"$Id$\n"),
        ("*.txt eol=crlf", b"$Id$\r\n", b"$Id$\r\n"),
        ("*.txt ident", b"$Id$\n", b"$Id: 055c8729cdcc372500a08db659c045e16c4409fb $\n"),
        (
            "*.txt working-tree-encoding=UTF-16LE",
            "é\n".encode("utf-16-le"),
            "é\n".encode("utf-16-le"),
        ),
        ("*.txt filter=upper", b"Ab\n", b"AB\n"),
    ],
)
def test_attributes_count_and_settings_and_programs_of_the_user_do_not(
    project: Monorepo, into: Path, attributes: str, on_disk: bytes, expected: bytes
) -> None:
    project.git("config", "core.autocrlf", "true")
    project.git("config", "filter.upper.clean", "tr a-z A-Z")
    project.git("config", "filter.upper.smudge", "tr A-Z a-z")
    project.write(".gitattributes", f"{attributes}\n")
    project.write('components/a/[x] "y".txt', on_disk)
    component = version(project)
    made = make_snapshot(component, into)
    assert contents(made)['[x] "y".txt'] == expected
    before = made.stat().st_ino
    assert make_snapshot(component, into).stat().st_ino == before
    (made / '[x] "y".txt').chmod(0o644)
    (made / '[x] "y".txt').write_bytes(b"damaged")
    assert contents(make_snapshot(component, into))['[x] "y".txt'] == expected


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GIT_CONFIG_GLOBAL", "{config}"),
        ("GIT_CONFIG_PARAMETERS", "'filter.lfs.required'='true'"),
        ("GIT_CONFIG_COUNT", "1"),
    ],
)
def test_variables_of_the_user_do_not_count(
    project: Monorepo,
    into: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
) -> None:
    """Where a filter is required, git itself refuses a pointer without content."""
    project.write(".gitattributes", "*.bin filter=lfs\n")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 8\n"
    project.write("components/a/model.bin", pointer)
    component = version(project)
    config = tmp_path / "config"
    config.write_text('[filter "lfs"]\nrequired = true\n')
    monkeypatch.setenv(variable, value.format(config=config))
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "filter.lfs.required")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "true")
    with pytest.raises(VersionError, match=r"model\.bin is a pointer of git-lfs"):
        make_snapshot(component, into)


def test_settings_of_the_private_git_directory_do_not_count(project: Monorepo, into: Path) -> None:
    """git makes some where the file system of the machine lacks something."""
    project.write(".gitattributes", "*.txt text working-tree-encoding=UTF-16LE\n")
    text = "é\n".encode("utf-16-le")
    project.write("components/a/x.txt", text)
    component = version(project)
    for setting in ("core.autocrlf true", "core.eol crlf", "core.symlinks false"):
        project.git("--git-dir", component.objects, "config", *setting.split())
    assert contents(make_snapshot(component, into)) == {**EXPECTED, "x.txt": text}


def test_a_changed_attribute_is_another_version(project: Monorepo, into: Path) -> None:
    project.write(".gitattributes", "main.py eol=lf\n")
    first = make_snapshot(version(project), into)
    project.write(".gitattributes", "main.py eol=crlf\n")
    second = make_snapshot(version(project), into)
    assert contents(first) == EXPECTED
    assert contents(second) == {**EXPECTED, "main.py": b"print(1)\r\n"}


def test_large_files_and_their_pointers(
    project: Monorepo, into: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_LFS_SKIP_SMUDGE", "1")
    project.git("lfs", "install", "--local")
    project.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    project.write("components/a/model.bin", "weights\n")
    uncommitted = version(project)
    assert contents(make_snapshot(uncommitted, into))["model.bin"] == b"weights\n"
    assert not (project.root / ".git/lfs/objects").exists()
    project.commit()
    assert version(project).digest == uncommitted.digest
    assert contents(make_snapshot(version(project), tmp_path / "2"))["model.bin"] == b"weights\n"

    clone = type(project)(tmp_path / "clone")
    # A machine where git-lfs is set up for every user fetches the content otherwise.
    skipped = (
        "-c",
        "filter.lfs.smudge=",
        "-c",
        "filter.lfs.process=",
        "-c",
        "filter.lfs.required=false",
    )
    project.git(*skipped, "clone", "--quiet", project.root, clone.root)
    pointer = version(clone)
    assert pointer.digest == uncommitted.digest
    with pytest.raises(VersionError) as caught:
        make_snapshot(pointer, tmp_path / "3")
    assert caught.value.message == (
        "components/a/model.bin is a pointer of git-lfs, whose content is not in this clone"
    )
    assert caught.value.hint == "git lfs pull"
    assert list((tmp_path / "3").iterdir()) == []


@pytest.mark.parametrize("name", ["Main.py", "IN/other", "GRÖSSE 1"])
def test_names_that_differ_by_case_alone(project: Monorepo, into: Path, name: str) -> None:
    project.write(f"components/a/{name}", "")
    with pytest.raises(VersionError, match="are the same name on systems without case"):
        make_snapshot(version(project), into)


def test_a_place_that_cannot_be_written(project: Monorepo, tmp_path: Path) -> None:
    tmp_path.joinpath("file").write_text("")
    with pytest.raises(
        VersionError, match=r"no snapshot can be made in .*/file/inside: Not a directory"
    ):
        make_snapshot(version(project), tmp_path / "file" / "inside")


def test_a_disk_that_is_full(project: Monorepo, into: Path) -> None:
    """A limit on the size of files stands in for the disk; what was begun is taken away."""
    project.write("components/a/large", b"x" * 100_000)
    component = version(project)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(VersionError, match="git cannot check out a") as raised:
            make_snapshot(component, into)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert raised.value.hint == "run it again", "no disk is full in truth"
    assert list(into.iterdir()) == []


def test_what_a_killed_process_left_is_removed_a_day_later(project: Monorepo, into: Path) -> None:
    for name in (".old", ".fresh"):
        (into / name).mkdir(parents=True)
    os.utime(into / ".old", (1, 1))
    made = make_snapshot(version(project), into)
    assert sorted(path.name for path in into.iterdir()) == [".fresh", made.name]


def test_a_snapshot_of_a_sha256_repository(tmp_path: Path, monorepo: Monorepo, into: Path) -> None:
    other = type(monorepo)(tmp_path / "sha256").init("--object-format=sha256")
    other.component("a")
    other.commit()
    assert contents(make_snapshot(version(other), into)).keys() == {
        "Dockerfile",
        "main.py",
    }


PROGRAM = """
import sys
from pathlib import Path
from daintree.components.snapshot import changed_snapshots, make_snapshot
from daintree.components import read_versions
root, into = Path(sys.argv[1]), Path(sys.argv[2])
version = read_versions(root, ["a"], platform="linux/amd64", bases={})["a"]
sys.stdin.readline()
print(make_snapshot(version, into))
"""


def test_processes_that_start_together_get_one_snapshot(project: Monorepo, into: Path) -> None:
    for number in range(50):
        project.write(f"components/a/file{number}", "x" * number)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "tooling")}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, project.root, into],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    printed = {process.communicate()[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    (made,) = into.iterdir()
    assert printed == {str(made)}
    assert len(contents(made)) == len(EXPECTED) + 50


def test_snapshots_that_were_changed_are_named(monorepo: Monorepo, tmp_path: Path) -> None:
    monorepo.component("a")
    monorepo.component("b", {"words.txt": "b"})
    versions = read_versions(monorepo.root, ["a", "b"], platform="linux/amd64", bases={})
    assert changed_snapshots([*versions.values()], tmp_path) == [], "there is none yet"
    made = {name: make_snapshot(component, tmp_path) for name, component in versions.items()}
    assert changed_snapshots([*versions.values()], tmp_path) == []
    (made["b"] / "main.py").chmod(0o644)
    (made["b"] / "main.py").write_text("print(2)\n")
    assert changed_snapshots([*versions.values()], tmp_path) == ["b"]
