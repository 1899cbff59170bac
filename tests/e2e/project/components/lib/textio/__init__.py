"""Lines of text in directories of files."""

from pathlib import Path


def read_lines(directory: Path) -> list[str]:
    """The lines of all files, in the order of the files' names."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return [line for path in files for line in path.read_text(encoding="utf-8").splitlines()]


def write_lines(path: Path, lines: list[str]) -> None:
    """Write one line each."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
