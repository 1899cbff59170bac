"""Keep the source's first lines."""

import argparse
from pathlib import Path

from textio import read_lines, write_lines

parser = argparse.ArgumentParser()
parser.add_argument("--input", type=Path, required=True)
parser.add_argument("--output", type=Path, required=True)
parser.add_argument("--limit", type=int, required=True)
arguments = parser.parse_args()
lines = read_lines(arguments.input)
print(f"{len(lines)} lines read")
write_lines(arguments.output / "lines.txt", lines[: arguments.limit or None])
