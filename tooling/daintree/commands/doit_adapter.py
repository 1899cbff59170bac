"""doit's loader of dodo.py, which is the first code of ours that doit calls: before it reads the command line.

`[tool.doit]` names it; below the project's root, where doit does not read that, doit's own loader stands in.
"""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from doit.cmd_base import DodoTaskLoader, check_tasks_exist
from doit.cmd_clean import Clean as DoitClean
from doit.cmd_dumpdb import DumpDB as DoitDumpDB
from doit.cmd_forget import Forget as DoitForget
from doit.cmd_ignore import Ignore as DoitIgnore
from doit.cmd_info import Info as DoitInfo
from doit.cmd_resetdep import ResetDep as DoitResetDep
from doit.exceptions import InvalidCommand, InvalidDodoFile, InvalidTask

from daintree.commands.command import HELP_OPTION, AnyOrderParse, guarded, typed_arguments
from daintree.commands.names import COMMANDS
from daintree.errors import UsageError
from daintree.settings import find_project
from daintree.terminal import nearest


class ProjectLoader(DodoTaskLoader):  # type: ignore[misc]
    """doit's own loader, which refuses an empty word: doit itself ends in a traceback over it."""

    def __init__(self) -> None:
        """Raises SystemExit for a command line with an empty word in it."""
        super().__init__()
        if "" in sys.argv[1:]:
            from daintree.commands.command import complain
            from daintree.errors import UsageError

            complain(
                UsageError(
                    "there is an empty word on the command line",
                    hint="is a variable in it not set?",
                )
            )
            raise SystemExit(UsageError.exit_code)
        _spare_the_collector()


def _spare_the_collector() -> None:
    """Keep what is imported by now, and at the exit all there is, out of the garbage collector's sight.

    Modules are no garbage while the process lives, and at its end the system takes everything back at once. Looking through them
    on the way, and twice more at the exit, is a tenth of the time of a command that has nothing to do (benchmarks/build.py).
    """
    gc.freeze()
    atexit.register(gc.freeze)


DODO = "dodo.py"


class AtProject:
    """Stands before one of doit's command classes and makes it work on the project around the current directory."""

    def __init__(self, config: Mapping[str, Any] | None = None, **more: Any) -> None:
        super().__init__(config=_project_config(config or {}), **more)  # type: ignore[call-arg]

    def get_options(self) -> list[Any]:
        """doit's options of the command, and --help."""
        from doit.cmdparse import CmdOption

        return [*super().get_options(), CmdOption(HELP_OPTION)]  # type: ignore[misc]

    @cached_property
    def cmdparser(self) -> AnyOrderParse:
        """The parser of this command's options; doit's settings give its defaults."""
        parser = AnyOrderParse(self.get_options())
        parser.overwrite_defaults(self.config_vals)  # type: ignore[attr-defined]
        return parser

    def parse_execute(self, in_args: Sequence[str]) -> int:
        """Called by doit with the words after the command's name; returns the exit code."""
        return guarded(lambda: self._parse_and_execute(typed_arguments(in_args, sys.argv[1:])))

    def _parse_and_execute(self, arguments: Sequence[str]) -> int:
        params, names = self.cmdparser.parse(arguments)
        params.update(self.opt_vals)  # type: ignore[attr-defined]
        if params["help"]:
            print(self.help())  # type: ignore[attr-defined]
            return 0
        return int(self.execute(params, names) or 0)

    def execute(self, params: Any, names: Sequence[str]) -> Any:
        """As doit does, with the project's dodo.py and database. Raises UsageError for what doit refuses."""
        if params["dodoFile"] == DODO:
            root = find_project(Path.cwd())
            params["dodoFile"] = str(root / DODO)
            params["dep_file"] = str(root / params["dep_file"])
        if params["backend"] == "sqlite3":
            _renew_database(Path(params["dep_file"]))
        try:
            return super().execute(params, list(names))  # type: ignore[misc]
        except (InvalidCommand, InvalidTask, InvalidDodoFile) as error:
            raise self._refusal(str(error), names) from None

    def _refusal(self, said: str, names: Sequence[str]) -> UsageError:
        """What doit refuses, in our words: mostly a name that is no task."""
        tasks = [task.name for task in getattr(self, "task_list", [])]
        known = [*tasks, *COMMANDS]
        unknown = [name for name in names if name not in known]
        if not tasks or not unknown:
            return UsageError(said.strip())
        hint = nearest(unknown[0], known, otherwise="`doit list --all` shows all there are")
        return UsageError(f"there is no pipeline, task or command {unknown[0]!r}", hint=hint)


class Clean(AtProject, DoitClean):  # type: ignore[misc]
    """doit clean; the artifact store is not touched."""


class DumpDB(AtProject, DoitDumpDB):  # type: ignore[misc]
    """doit dumpdb, refused: it reads other kinds of databases than the one that doit is told to keep here."""

    def execute(self, params: Any, names: Sequence[str]) -> Any:
        """Raises UsageError."""
        raise UsageError(
            f"doit dumpdb cannot read {params['dep_file']}, which is an SQLite database",
            hint="nothing in it decides what runs: `doit plan` says that, and `doit history` what has run",
        )


class Forget(AtProject, DoitForget):  # type: ignore[misc]
    """doit forget; the artifact store is not touched."""

    def _execute(self, forget_sub: bool, forget_disable_default: bool, forget_all: bool) -> Any:
        # Without names and without default tasks doit itself ends in a traceback.
        everything = self.sel_tasks is None and not forget_disable_default
        return super()._execute(forget_sub, forget_disable_default, forget_all or everything)


class Ignore(AtProject, DoitIgnore):  # type: ignore[misc]
    """doit ignore."""


class Info(AtProject, DoitInfo):  # type: ignore[misc]
    """doit info."""

    def _execute(self, pos_args: Sequence[str], hide_status: bool = False) -> Any:
        # doit itself ends in a traceback over a name that is no task.
        check_tasks_exist({task.name: task for task in self.task_list}, pos_args)
        return super()._execute(pos_args, hide_status)


class ResetDep(AtProject, DoitResetDep):  # type: ignore[misc]
    """doit reset-dep."""


def _project_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """doit's settings, with those of the project where the current directory lies below its root."""
    here = Path.cwd()
    try:
        root = find_project(here)
    except UsageError:
        return config
    if root == here:
        return config
    from doit.doit_cmd import DoitConfig

    try:
        found = DoitConfig().load_config_toml(str(root / "pyproject.toml"), "tool.doit")
    except (OSError, ValueError):
        # What is wrong with the file is told where the tooling's own settings are read.
        return config
    return {**config, **found}


def _renew_database(path: Path) -> None:
    """Remove doit's database when it is unreadable: it only remembers what can be found out again."""
    import sqlite3

    if not path.is_file():
        return
    try:
        with sqlite3.connect(path) as connection:
            connection.execute("pragma schema_version").fetchone()
    except sqlite3.DatabaseError:
        path.unlink()
