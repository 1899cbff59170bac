"""item2vec's outputs, byte by byte: computed again, in another clone, and in Docker on the same processor."""

from __future__ import annotations

import json
from pathlib import Path

from beauty import SOURCE, doit
from contenders import user_environments, variables, workspace
from projects import copy_of_this_project
from timing import parser, row


def main() -> None:
    """Run the pipeline in each way, each into a store of its own; print a row a stage. Ends with 1 where bytes differ."""
    parsing = parser(__doc__)
    parsing.add_argument("--source", type=Path, default=SOURCE, help="default: %(default)s")
    source = parsing.parse_args().source.resolve()
    with workspace() as directory:
        one, other = (copy_of_this_project(directory / name) for name in ("one", "other"))
        first = digests(directory / "first", one, source, "local")
        ways = {
            "again": digests(directory / "again", one, source, "local"),
            "another clone": digests(directory / "clone", other, source, "local"),
            "Docker": digests(directory / "docker", other, source, "docker"),
        }
    row("stage", "output", *ways)
    for stage, digest in first.items():
        same = ["same" if found[stage] == digest else found[stage] for found in ways.values()]
        row(stage, digest, *same)
    if any(found != first for found in ways.values()):
        raise SystemExit("error: outputs differ")


def digests(cache: Path, project: Path, source: Path, runner: str) -> dict[str, str]:
    """The digest of each stage's output, computed by this runner into an empty store."""
    environment = variables(cache, environments=user_environments())
    arguments = [f"--source={source}", f"--runner={runner}", f"--output={cache / 'output'}"]
    printed = doit(
        "run", "item2vec", "--json", *arguments, project=project, environment=environment
    )
    return {stage["name"]: stage["digest"] for stage in json.loads(printed)["stages"]}


if __name__ == "__main__":
    main()
