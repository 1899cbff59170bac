"""`doit new`, `doit lock` and `doit hooks`: writing projects, components and pipelines."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daintree.authoring import scaffold
from daintree.authoring.git_hooks import after_commit, install, remove
from daintree.authoring.lock_requirements import lock
from daintree.commands.command import DaintreeCommand, option, reserved_names
from daintree.components import discover_images, discover_libraries
from daintree.errors import UsageError, nearest
from daintree.settings import installed_from
from daintree.terminal import count, say


class New(DaintreeCommand):
    """Writes a project, a component or a pipeline that runs as it is."""

    doc_usage = (
        "project DIR [--diff] | component GROUP/NAME [--dockerfile] | pipeline NAME [COMPONENT …]"
    )
    doc_description = (
        "A project is a team's own repository, with a small sample; in a directory that exists nothing is changed, only "
        "added. A component gets a program, its parameters, its packages and a test that passes; a pipeline runs the "
        "components named, in this order, on a bundled sample."
    )
    cmd_options = (
        option(
            "diff",
            "of a project: only show what this version of the tooling would write",
            type=bool,
        ),
        option(
            "dockerfile",
            "write the component's default Dockerfile too, for you to change",
            type=bool,
        ),
    )
    names = (1, None)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        if names[0] not in KINDS:
            raise UsageError(f"doit new makes no {names[0]!r}", hint=nearest(names[0], KINDS))
        if len(names) < 2:
            raise self.misused("too few names")
        kind, name, *components = names
        if kind == "project" and not components:
            self._project(Path(os.path.abspath(name)), name, only_difference=options["diff"])
            return
        if options["diff"]:
            raise UsageError("--diff is for projects", hint="doit new project . --diff")
        if kind == "component" and not components:
            written = scaffold.new_component(self.root, name, dockerfile=options["dockerfile"])
        elif kind == "pipeline":
            written = scaffold.new_pipeline(
                self.root, name, components, reserved=reserved_names(self.root)
            )
        else:
            raise self.misused(f"{names[-1]!r} is one name too many")
        for path in written:
            print(path.relative_to(self.root))
        next_step = f"doit test:{name}" if kind == "component" else f"doit run {name}"
        say(f"next: {next_step}")

    def _project(self, directory: Path, typed: str, *, only_difference: bool) -> None:
        if only_difference:
            print("".join(f"{line}\n" for line in scaffold.project_difference(directory)), end="")
            return
        written = scaffold.new_project(directory)
        commit = f", in commit {written.commit}" if written.commit else ""
        print(f"{directory}: {count(len(written.files), 'file')} written{commit}")
        for path in written.different:
            print(f"left as it is: {path}")
        if written.different:
            difference = f"doit new project {shlex.quote(typed)} --diff"
            say(f"what differs: {difference}")
            if ".gitignore" in written.different:
                say(
                    "note: git does not ignore all that runs leave here; this adds what .gitignore lacks:"
                )
                place = shlex.quote(typed)
                say(f"hint: {difference} | git -C {place} apply --include=.gitignore")
        if written.without_commit:
            say(f"note: not committed: {written.without_commit}")
            say("hint: git config --global user.name NAME (and user.email), then git commit")
        if WORKFLOW in written.files and not (directory / ".git").exists():
            say("note: GitHub reads workflows at the top of a repository alone: move .github there")
            say("hint: its steps then need this directory as `working-directory`")
        if "pyproject.toml" in written.files and not _is_shared(installed_from()):
            say("note: pyproject.toml names the tooling by a path of this machine, or not at all")
            say("hint: before you share it, name a git address and commit, or the URL of a wheel")
        change = "" if directory == Path.cwd() else f"cd {shlex.quote(typed)} && "
        sample = (
            f"doit run {scaffold.SAMPLE}"
            if f"pipelines/{scaffold.SAMPLE}.yaml" in written.files
            else "doit list"
        )
        say(f"next: {change}{sample}")


KINDS = ("component", "pipeline", "project")
WORKFLOW = ".github/workflows/daintree.yml"


def _is_shared(address: str) -> bool:
    return address != "" and not address.startswith(("file:", "git+file:"))


class Lock(DaintreeCommand):
    """Compiles requirements.in of components and their libraries into requirements.txt."""

    doc_usage = "[COMPONENT …] [--upgrade] [--check]"
    doc_description = (
        "Without names, every component and library. requirements.in says what is imported; requirements.txt is "
        "written: each package with its version and hashes, those of the libraries used included."
    )
    cmd_options = (
        option("upgrade", "take the newest versions instead of keeping those locked", type=bool),
        option("check", "only say which files are out of date; needs no network", type=bool),
    )
    names = (0, None)

    def work(self, options: Mapping[str, Any], names: list[str]) -> int:
        wanted = names or [*discover_libraries(self.root), *discover_images(self.root)]
        stale = 0
        for name in wanted:
            changed = lock(self.root, name, say, upgrade=options["upgrade"], check=options["check"])
            stale += changed
            state = ("out of date" if options["check"] else "locked") if changed else "up to date"
            print(f"{name}: {state}")
        return 1 if options["check"] and stale else 0


class Hooks(DaintreeCommand):
    """Switches the project's git hooks on or off."""

    doc_usage = "[--update | --remove]"
    doc_description = (
        "After each commit the images that it changed are built in the background, and pushed where there is a registry. "
        "The hooks are copies in the git directory, which no checkout changes. Hooks that were there before are called as "
        "before. DAINTREE_HOOKS=off turns them off."
    )
    cmd_options = (
        option("update", "replace copies that another version has made", type=bool),
        option("remove", "put git's hooks back as they were", type=bool),
        option("after_commit", "what the hook calls: build what this commit changed"),
    )

    def work(self, options: Mapping[str, Any], names: list[str]) -> int:
        if options["after_commit"]:
            code, line = after_commit(self.root, options["after_commit"])
            print(f"daintree: {line}", file=sys.stderr)
            return code
        if options["remove"]:
            lines = remove(self.root)
        else:
            lines = install(self.root, update=options["update"])
        print("\n".join(lines))
        return 0
