"""Join the lines of the stages needed, each after its stage's name."""

import argparse
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--input", type=Path, required=True)
parser.add_argument("--output", type=Path, required=True)
arguments = parser.parse_args()
joined = []
for need in sorted(arguments.input.iterdir()):
    text = (need / "lines.txt").read_text(encoding="utf-8")
    joined += [f"{need.name}: {line}" for line in text.splitlines()]
(arguments.output / "joined.txt").write_text("\n".join(joined) + "\n", encoding="utf-8")
