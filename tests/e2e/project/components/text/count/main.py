"""Count words."""

import argparse
from collections import Counter
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--input", type=Path, required=True)
parser.add_argument("--output", type=Path, required=True)
parser.add_argument("--top", type=int, required=True)
parser.add_argument("--separator", required=True)
parser.add_argument("--weight", type=float, required=True)
parser.add_argument("--threads", type=int, required=True)
arguments = parser.parse_args()
words = (arguments.input / "lines.txt").read_text(encoding="utf-8").split()
counted = sorted(Counter(words).items(), key=lambda item: (-item[1], item[0]))
rows = ["word,count", *(f"{w}{arguments.separator}{n * arguments.weight:g}" for w, n in counted)]
(arguments.output / "counts.csv").write_text(
    "\n".join(rows[: arguments.top + 1]) + "\n", encoding="utf-8"
)
