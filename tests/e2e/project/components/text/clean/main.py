"""Fold the case and drop words."""

import argparse
from pathlib import Path

from textio import read_lines, write_lines

parser = argparse.ArgumentParser()
parser.add_argument("--input", type=Path, required=True)
parser.add_argument("--output", type=Path, required=True)
parser.add_argument("--fold", choices=["true", "false"], required=True)
parser.add_argument("--shortest", type=int, required=True)
parser.add_argument("--drop", required=True)
arguments = parser.parse_args()
cleaned = []
for line in read_lines(arguments.input):
    words = (line.casefold() if arguments.fold == "true" else line).split()
    kept = [w for w in words if len(w) >= arguments.shortest and w != arguments.drop]
    cleaned.append(" ".join(kept))
write_lines(arguments.output / "lines.txt", cleaned)
