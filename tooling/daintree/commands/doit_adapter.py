"""doit's loader of dodo.py, which is the first code of ours that doit calls: before it reads the command line.

`[tool.doit]` names it; below the project's root, where doit does not read that, doit's own loader stands in.
"""

from __future__ import annotations

import atexit
import contextlib
import fnmatch
import gc
import os
import re
import sys
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from doit.cmd_base import DodoTaskLoader, TaskLoader2, check_tasks_exist
from doit.cmd_clean import Clean as DoitClean
from doit.cmd_completion import TabCompletion as DoitTabCompletion
from doit.cmd_dumpdb import DumpDB as DoitDumpDB
from doit.cmd_forget import Forget as DoitForget
from doit.cmd_help import Help as DoitHelp
from doit.cmd_ignore import Ignore as DoitIgnore
from doit.cmd_info import Info as DoitInfo
from doit.cmd_resetdep import ResetDep as DoitResetDep
from doit.cmd_run import Run as DoitRun
from doit.dependency import Dependency, JSONCodec
from doit.exceptions import InvalidCommand, InvalidDodoFile, InvalidTask
from doit.reporter import ConsoleReporter, ZeroReporter
from doit.task import Task

from daintree.commands.command import COMMANDS, Guarded, complain
from daintree.errors import DaintreeError, UsageError, nearest
from daintree.settings import find_project, is_daintree
from daintree.terminal import columns, say

if TYPE_CHECKING:
    from daintree.pipeline.engine import PipelineRun


class ProjectLoader(DodoTaskLoader):  # type: ignore[misc]
    """doit's own loader, which refuses an empty word: doit itself ends in a traceback over it."""

    def __init__(self) -> None:
        """Raises SystemExit for a command line with an empty word in it."""
        super().__init__()
        if sys.argv[1:] == ["--help"]:
            sys.argv[1:] = ["help"]
        if "" in sys.argv[1:]:
            empty = "there is an empty word on the command line"
            complain(UsageError(empty, hint="is a variable in it not set?"))
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


class AtProject(Guarded):
    """Stands before one of doit's command classes and makes it work on the project around the current directory."""

    needs_project = True

    def __init__(self, config: Mapping[str, Any] | None = None, **more: Any) -> None:
        super().__init__(config=_project_config(config or {}), **more)  # type: ignore[call-arg]

    def get_options(self) -> list[Any]:
        """The options, where -k is the run command's: commands look for the project's dodo.py themselves."""
        options = super().get_options()
        for option in options:
            if option.name == "seek_file":
                option.short = ""
        return options

    def execute(self, params: Any, names: Sequence[str]) -> Any:
        """Run doit's own command with the project's dodo.py and database. Raises UsageError for what doit refuses."""
        try:
            self.place(params)
        except UsageError:
            if self.needs_project:
                raise
        try:
            return super().execute(params, list(names))  # type: ignore[misc]
        except (InvalidCommand, InvalidTask, InvalidDodoFile) as error:
            raise self._refusal(str(error), names, Path(params["dodoFile"]).parent) from None

    def place(self, params: Any) -> None:
        """Make the options lead to the project's dodo.py and database, from whatever directory below it."""
        if params["dodoFile"] == DODO:
            root = find_project(Path.cwd())
            params["dodoFile"] = str(root / DODO)
            params["dep_file"] = str(root / params["dep_file"])
        if params["backend"] == "sqlite3" and params["dep_file"] != ":memory:":
            params["dep_file"] = _usable_database(Path(params["dep_file"]))

    def _refusal(self, message: str, names: Sequence[str], root: Path) -> UsageError:
        """Error for a refusal of doit's, which is mostly of a name that is no task."""
        tasks = [task.name for task in getattr(self, "task_list", [])]
        known = [*tasks, *COMMANDS]
        unknown = [name for name in names if name not in known]
        if not tasks or not unknown:
            return UsageError(message.strip())
        from daintree.spec.pipeline import component_hint

        name, otherwise = unknown[0], "`doit list --all` shows all there are"
        if (task := name.partition(":")[0]) in ("lint", "pipelines", "test"):
            otherwise = f"in dodo.py: from daintree.commands.project_tasks import task_{task}"
        hint = component_hint(root, name) or nearest(name, known, otherwise=otherwise)
        return UsageError(f"there is no pipeline, task or command {name!r}", hint=hint)


def daintree_project(params: Any) -> Path | None:
    """The root of the project that a command works on; None for an ordinary doit project, or a dodo.py that was named."""
    root = find_project(Path.cwd()) if params["dodoFile"] == DODO else None
    return root if root and is_daintree(root) else None


class ProjectTask(Task):  # type: ignore[misc]
    """A project's own task, which may be named more than once: doit itself passes over all names after the second one."""

    options: Any

    def init_options(self, args: Sequence[str] | None = None) -> Any:
        """Read the task's options; the words after them. Raises UsageError for other options than those before."""
        if self.options is None or not args:
            return super().init_options(args)
        given, self.options = self.options, None
        rest = super().init_options(args)
        if len(rest) < len(args) and self.options != given:
            raise UsageError(f"the task {self.name} is named twice, with different options")
        self.options = given
        return rest


class StageDatabase:
    """doit's database of ordinary `tasks`, in which stages leave nothing: the artifact store decides what is up to date.

    Without `tasks` every task is a stage, and two runs at once share nothing.
    """

    def __init__(self, tasks: Any = None, stages: Container[str] = ()) -> None:
        self.name = ":memory:" if tasks is None else tasks.name
        self._tasks, self._stages = tasks, stages
        self._memory: dict[str, dict[str, Any]] = {}
        # Removed in the end: from then on, no other process could write to the database.
        self._removed: set[str] = set()

    def get(self, task: str, key: str) -> Any:
        if self._is_stage(task):
            return self._memory.get(task, {}).get(key)
        return None if task in self._removed else self._tasks.get(task, key)

    def set(self, task: str, key: str, value: Any) -> None:
        if self._is_stage(task):
            self._memory.setdefault(task, {})[key] = value
        else:
            self._tasks.set(task, key, value)

    def in_(self, task: str) -> bool:
        if self._is_stage(task):
            return task in self._memory
        return task not in self._removed and bool(self._tasks.in_(task))

    def remove(self, task: str) -> None:
        if self._is_stage(task):
            self._memory.pop(task, None)
        else:
            self._removed.add(task)

    def remove_all(self) -> None:
        self._memory.clear()

    def dump(self) -> None:
        if self._tasks is not None:
            for task in self._removed:
                self._tasks.remove(task)
            self._tasks.dump()

    def _is_stage(self, task: str) -> bool:
        return self._tasks is None or task in self._stages


class StageLoader(TaskLoader2):  # type: ignore[misc]
    """Loader of planned pipelines, and of a project's own tasks with them.

    `project` loads the project's tasks, in which the pipelines' tasks are placeholders; `start` begins the run of a
    pipeline that a selected task turns out to depend on. Without `project`, the stages are all there is.
    """

    def __init__(
        self,
        runs: list[PipelineRun],
        project: TaskLoader2 | None = None,
        start: Callable[[str], PipelineRun] | None = None,
    ) -> None:
        super().__init__()
        self.runs = runs
        self.stages: set[str] = set()
        self._project, self._start = project, start
        if project:
            self.cmd_options, self.config = project.cmd_options, project.config

    @property
    def has_tasks(self) -> bool:
        """True where the project's own tasks are loaded too."""
        return self._project is not None

    def setup(self, opt_values: Any) -> None:
        """Load the project's dodo.py."""
        if self._project:
            self._project.setup(opt_values)

    def load_doit_config(self) -> Any:
        """The settings in the project's dodo.py; none for stages alone."""
        return self._project.load_doit_config() if self._project else {}

    def load_tasks(self, cmd: Any, pos_args: Sequence[str]) -> list[Task]:
        """The tasks, with planned stages in the place of the pipelines' own."""
        tasks = self._project.load_tasks(cmd, pos_args) if self._project else []
        for task in tasks:
            task.__class__ = ProjectTask
        cmd.task_list = tasks
        planned = {run.plan.pipeline.name for run in self.runs}
        if self._start:
            reached = _reached(tasks, pos_args)
            for number, run in enumerate(self.runs):
                # A task that depends on the whole of a pipeline, of which one stage is named beside it.
                name = run.plan.pipeline.name
                if name in reached and name != run.target and not run.plan.request.only:
                    self.runs[number] = self._start(name)
            named = dict.fromkeys((task.meta or {}).get(PIPELINE, "") for task in reached.values())
            self.runs += [self._start(name) for name in named if name and name not in planned]
            planned.update(named)
        stages = [task for run in self.runs for task in run.tasks()]
        self.stages.update(task.name for task in stages)
        return [task for task in tasks if task.name.partition(":")[0] not in planned] + stages


# A pipeline's task in a dodo.py holds this, so that whoever runs it knows what to plan.
PIPELINE = "pipeline"


def _reached(tasks: Sequence[Task], selected: Sequence[str]) -> dict[str, Task]:
    """The tasks selected and all that they depend on by name, in the tasks' order."""
    by_name = {task.name: task for task in tasks}
    targets = {target: task.name for task in tasks for target in task.targets}
    waiting, seen = [*selected], set[str]()
    while waiting:
        name = waiting.pop()
        matching = fnmatch.filter(by_name, name) if "*" in name else [targets.get(name, name)]
        for task in (by_name[n] for n in matching if n in by_name and n not in seen):
            seen.add(task.name)
            waiting += [*task.task_dep, *task.wild_dep, *task.setup_tasks, *task.file_dep]
    return {name: task for name, task in by_name.items() if name in seen}


_TASK_EVENTS = (
    "get_status", "execute_task", "add_failure", "add_success", "skip_uptodate", "skip_ignore", "teardown_task",
)  # fmt: skip
# How doit writes Python functions, and what it says of one that returned False, having said itself why.
_FUNCTION = r"'?<(?:bound method|function) (\S+?)(?: of .*)? at 0x[0-9a-f]+>+'?"
_RETURNED_FALSE = r"^Python Task failed: .* returned False$"


class TaskReporter(ConsoleReporter):  # type: ignore[misc]
    """doit's reporter, which says once that a task has failed, and nothing of Python's own objects."""

    def _write_failure(self, result: Mapping[str, Any], write_exception: bool = True) -> None:
        """Called by doit for each failure, and once more at the end."""
        if not write_exception:
            return
        message = result["exception"].get_msg().strip()
        message = "" if re.match(_RETURNED_FALSE, message) else re.sub(_FUNCTION, r"\1", message)
        self.write(f"task {result['task'].name} failed" + (f": {message}\n" if message else "\n"))


def without_stages(reporter: type, stages: Container[str]) -> type:
    """A doit reporter that is told of ordinary tasks alone: the events of stages are printed as they come."""

    def quiet(event: str) -> Callable[..., None]:
        def report(self: Any, task: Task, *more: Any) -> None:
            if task.name not in stages:
                getattr(reporter, event)(self, task, *more)

        return report

    return type(reporter.__name__, (reporter,), {event: quiet(event) for event in _TASK_EVENTS})


class RunOptions(msgspec.Struct, frozen=True):
    """Options of a run of stages: threads (0: the setting `jobs`), and whether it goes on after a failure."""

    jobs: int = 0
    keep_going: bool = False


def run_stages(runs: list[PipelineRun], options: RunOptions) -> None:
    """Run plans by doit, with no other task and nothing on disk. Raises the error of the stage that failed last."""
    # doit looks for what could be chosen among all that is installed, 10 ms each time; here nobody chooses.
    run_of_stages = type("Run", (DoitRun,), {"get_backends": dict, "get_reporters": dict})
    command = run_of_stages(task_loader=StageLoader(runs))
    params = command.cmdparser.parse([])[0]
    execute_runs(command, params, [run.target for run in runs], options, command.execute)


def execute_runs(
    command: Any,
    params: Any,
    names: Sequence[str],
    options: RunOptions,
    execute: Callable[[Any, list[str]], Any],
) -> int:
    """Run stages, and other tasks with them, as one doit run of `command`, whose loader is a `StageLoader`.

    Returns doit's exit code for the tasks that are no stages. Raises the error of the stage that failed last, once
    the others' have been printed; an interrupt, once every stage has ended.
    """
    loader: StageLoader = command.loader
    alone = not loader.has_tasks
    base = ZeroReporter if alone else _reporter(command, params["reporter"])
    params["reporter"] = without_stages(base, loader.stages)
    params["continue"] = options.keep_going or params["continue"]
    params["par_type"] = "thread" if loader.runs else params["par_type"]
    params["num_process"] = _threads(loader, options)
    # Both are in the plans by now; doit's own meaning would pass over the stages' needs.
    if alone:
        params["always"] = params["single"] = False
    backend = None if alone else command.get_backends()[params["backend"]]
    tasks = backend(params["dep_file"], codec=JSONCodec()) if backend else None
    command.dep_manager = Dependency(
        lambda name, codec, module_name=None: StageDatabase(tasks, loader.stages),
        params["dep_file"],
        checker_cls=command.get_checker_cls(params["check_file_uptodate"]),
    )
    try:
        code = int(execute(params, list(names)) or 0)
    except BaseException:
        for run in loader.runs:
            run.cancel()
        raise
    failures = [failure for run in loader.runs for failure in run.failures]
    # A bug is what its traceback is needed of.
    failures.sort(key=lambda failure: not isinstance(failure, DaintreeError))
    for failure in failures[:-1]:
        complain(failure if isinstance(failure, DaintreeError) else DaintreeError(str(failure)))
    if failures:
        raise failures[-1]
    if code and alone:
        raise DaintreeError(f"doit could not run {', '.join(names)} (its code {code})")
    return code


def _reporter(command: Any, chosen: str | type) -> type:
    if chosen == "console":
        return TaskReporter
    reporter: type = command.reporters[chosen] if isinstance(chosen, str) else chosen
    return reporter


def _threads(loader: StageLoader, options: RunOptions) -> int:
    """Threads for doit: none for a chain, where each stage waits for the one before, and beside ordinary tasks unless asked for."""
    if loader.has_tasks:
        return options.jobs
    wanted = options.jobs or loader.runs[0].session.settings.jobs
    [*others, last] = loader.runs
    return 0 if wanted < 2 or (not others and last.is_chain) else wanted


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


class Help(AtProject, DoitHelp):  # type: ignore[misc]
    """doit help, which leads with this tool's commands."""

    needs_project = False

    def print_usage(self, cmds: Mapping[str, Any]) -> None:
        """Print this tool's commands, then doit's own."""
        print("Run pipelines, and skip every stage whose output is in the artifact store.\n")
        own = [[f"doit {name}", purpose] for name, purpose in COMMANDS.items()]
        others = [
            [f"doit {name}", cmds[name].doc_purpose] for name in sorted(cmds.keys() - COMMANDS)
        ]
        for title, rows in {"Commands": own, "Commands of doit itself": others}.items():
            print("\n".join([title, *columns(rows), ""]))
        print("\n".join(["Help", *columns(_HELP)]))

    def _execute(self, pos_args: Sequence[str]) -> bool:
        """Print the help of a task. Raises UsageError for what is neither a task nor a command."""
        if not super()._execute(pos_args):
            raise self._refusal("", pos_args, Path.cwd())
        return True


_HELP = [
    ["doit help COMMAND", "options of a command"],
    ["doit help TASK", "options of a task"],
    ["doit help task", "fields of a task in dodo.py"],
    ["doit --version", "versions of daintree and doit"],
]


class TabCompletion(AtProject, DoitTabCompletion):  # type: ignore[misc]
    """doit tabcompletion."""

    needs_project = False


class Info(AtProject, DoitInfo):  # type: ignore[misc]
    """doit info."""

    def _execute(self, pos_args: Sequence[str], hide_status: bool = False) -> Any:
        # doit itself ends in a traceback over a name that is no task.
        check_tasks_exist({task.name: task for task in self.task_list}, pos_args)
        return super()._execute(pos_args, hide_status)


class ResetDep(AtProject, DoitResetDep):  # type: ignore[misc]
    """doit reset-dep."""


def _project_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """doit's settings, with those of the project where the current directory lies below its root.

    A project of this tooling has one database, an SQLite one, whether its pyproject.toml says so or not.
    """
    try:
        root = find_project(Path.cwd())
    except UsageError:
        return config
    if root != Path.cwd():
        from doit.doit_cmd import DoitConfig

        # What is wrong with the file is told where the tooling's own settings are read.
        with contextlib.suppress(OSError, ValueError):
            read = DoitConfig().load_config_toml(str(root / "pyproject.toml"), "tool.doit")
            config = {**config, **read}
    if not is_daintree(root):
        return config
    return {**config, "GLOBAL": {"backend": "sqlite3", **config.get("GLOBAL", {})}}


def _usable_database(path: Path) -> str:
    """doit's database, made anew when it is unreadable, and kept in memory where it cannot be written: it only remembers what can be found out again."""
    import sqlite3

    is_there = os.path.lexists(path)
    places = [path.parent, path] if is_there else [path.parent]
    if path.is_file() == is_there and all(os.access(place, os.W_OK) for place in places):
        try:
            if is_there:
                with sqlite3.connect(path) as connection:
                    connection.execute("pragma schema_version").fetchone()
            return str(path)
        except sqlite3.OperationalError:
            # Locked or on a failing disk: others may need what is in it.
            pass
        except sqlite3.DatabaseError:
            path.unlink()
            return str(path)
    say(f"note: {path} cannot be written, so that doit remembers no task of this run")
    return ":memory:"
