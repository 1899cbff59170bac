"""The versions of 1,000 components with 100,000 files of which one has changed, against `git status -uall`."""

from __future__ import annotations

from contenders import daintree, variables, workspace
from projects import many_components
from timing import Process, parser, race, ratio, row


def main() -> None:
    """Measure, and print one row."""
    arguments = parser(__doc__).parse_args()
    components, rounds = (100, 5) if arguments.quick else (1000, 15)
    with workspace() as directory:
        environment = variables(directory / "cache")
        project = many_components(directory / "project", components, files=100)
        changed = "components/group-7/component-0007"
        with open(project / changed / "main.py", "a", encoding="utf-8") as script:
            script.write("# changed\n")
        ours = Process((daintree(), "affected"), project, environment, "main.py")
        git = Process(("git", "status", "-uall"), project, environment, f"{changed}/main.py")
        times = race({"doit affected": ours.seconds, "git status -uall": git.seconds}, rounds)
    one, other = times.values()
    what = f"`doit affected`, {components} components, {components * 100} files, one changed"
    row(what, "`git status -uall`", "≤ 1.5", ratio(one, other), f"{one} against {other}")


if __name__ == "__main__":
    main()
