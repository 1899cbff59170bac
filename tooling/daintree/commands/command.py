"""Parts that all commands share: arguments in any order, one boundary for errors, the project it works on.

doit's own parser takes any `a=b` for a variable and stops at the first name; these commands read the command
line as it was typed.
"""

from __future__ import annotations

import contextlib
import getopt
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from doit.cmd_base import Command
from doit.cmdparse import CmdOption, CmdParse

from daintree.errors import DaintreeError, UsageError, from_os_error, nearest
from daintree.settings import Settings, find_project, read_settings
from daintree.terminal import Screen, json_safe

if TYPE_CHECKING:
    from daintree.pipeline.addresses import Address
    from daintree.pipeline.plan import Planned
    from daintree.pipeline.session import Request

COMMANDS: dict[str, str] = {
    "run": "run pipelines or tasks; stages whose output is in the store are skipped",
    "watch": "run a pipeline whenever its source has changed",
    "plan": "show what a run would do, and why; runs nothing",
    "graph": "draw a pipeline and its plan",
    "path": "print where a stage's output lies, for notebooks",
    "pull": "copy a stage's last inputs and output out of the store",
    "push": "publish what this machine has computed for itself to the shared store",
    "shell": "open a stage's environment on its last inputs, its command ready",
    "serve": "serve a pipeline's latest model over HTTP on this machine",
    "monitor": "compare what a service has served with what its model was trained on",
    "history": "list the runs of a pipeline or stage, failed ones too",
    "metrics": "table what past runs measured, best first",
    "diff": "compare two runs: what went into them, what came out, what before them differs",
    "name": "give runs a name, such as production, that commands and pipelines take",
    "export": "write runs into an MLflow server, each once",
    "show": "show one run whole: inputs, outputs, reason, log",
    "ui": "look at pipelines, runs and metrics in a browser, on this machine",
    "report": "write the pages of pipelines as files, for CI or a mail",
    "argo": "write what a pipeline misses as an Argo Workflow",
    "submit": "run what a pipeline misses in the cluster, as an Argo Workflow",
    "logs": "print what the stages of a pipeline say in the cluster",
    "cancel": "stop a pipeline's Workflow; what has succeeded is recorded",
    "record": "record what a Workflow's stages have put out, so that it is a hit",
    "affected": "name the components that a git change affects, and why",
    "build": "build the images that are missing, and push them",
    "hooks": "build images after each commit: switch git hooks on or off",
    "list": "show pipelines, tasks and commands",
    "new": "write a project, a component or a pipeline from a template",
    "lock": "compile a component's requirements into one hash-locked file",
    "store": "show where the artifact store is and how large; clear up after interrupted runs",
    "gc": "free space in the store and on this machine; keep what pipelines reach",
    "doctor": "check that this machine or the cluster has all that a runner needs",
    "services": "check which services can be reached; make the store's bucket",
    "config": "print every setting and where its value comes from",
    "schema": "print the JSON Schema of pipeline or component files",
}
DOIT_COMMANDS = (
    "clean", "completion", "dumpdb", "forget", "help", "ignore", "info", "reset-dep", "strace", "tabcompletion",
)  # fmt: skip
_TASK = re.compile(rb"\btask_([A-Za-z0-9_]+)")


def reserved_names(root: Path) -> frozenset[str]:
    """Every name that is taken in this project; dodo.py is read, not run, so that a no-op stays quick."""
    try:
        tasks = [name.decode() for name in _TASK.findall((root / "dodo.py").read_bytes())]
    except OSError:
        tasks = []
    return frozenset((*COMMANDS, *DOIT_COMMANDS, *tasks))


def option(
    name: str, help: str, *, type: type = str, short: str = "", **more: Any
) -> dict[str, Any]:
    """An option of a command as doit describes it; its long form is the name with dashes."""
    default: Any = {bool: False, list: [], int: 0}.get(type, "")
    described = {"name": name, "short": short, "long": name.replace("_", "-"), "type": type}
    return {**described, "default": default, "help": help, **more}


HELP_OPTION = option("help", "show this help", type=bool, short="h")
# fmt: off
_SHARED = {
    described["name"]: described
    for described in (
        option("json", "print JSON, for programs", type=bool),
        option("source", "read this instead of the pipeline's source: a path or a URL; NAME=PATH for one of several, may be repeated", type=list),
        option("output", "copy the output here instead of where the pipeline says"),
        option("set", "stage.parameter=value: another value for a parameter; may be repeated", type=list),
        option("force", "compute this stage though it is a hit; may be repeated", type=list),
        option("only", "run this stage alone, on the outputs that its needs have already"),
        option("runner", "the runner that executes the stages (default: the setting `runner`)"),
        option("sweep", "stage.parameter=[value, …]: every combination with the other values; may be repeated", type=list),
        option("metric", "a metric to show, such as test.hr@10; the first one given decides the order (may be repeated)", type=list, short="m"),
        option("lowest", "the lowest value is the best", type=bool),
        option("namespace", "the namespace in the cluster (default: the setting `argo_namespace`)"),
        option("yes", "sweep over more than 500 stages", type=bool),
        option("verify", "hash every file that is taken from the store, not only those that changed", type=bool),
    )
}
# fmt: on


def shared(*names: str) -> tuple[dict[str, Any], ...]:
    """The options of these names, which several commands have."""
    return tuple(_SHARED[name] for name in names)


def typed_arguments(arguments: Sequence[str], typed: Sequence[str]) -> list[str]:
    """`arguments` with the `a=b` words put back that doit took out of what was `typed`.

    When doit was not called with `typed` at all, the arguments as they are.
    """
    wanted = list(arguments)
    for start in range(len(typed) + 1):
        rest = list(typed[start:])
        if [word for word in rest if word[:1] == "-" or "=" not in word] == wanted:
            return rest
    return wanted


class AnyOrderParse(CmdParse):  # type: ignore[misc]
    """doit's parser, with options before, between and after names."""

    def parse_only(self, in_args: Sequence[str], params: Any = None) -> tuple[Any, list[str]]:
        """(options, names). Raises UsageError."""
        params = params if params is not None else {}
        try:
            options, names = getopt.gnu_getopt(list(in_args), self.get_short(), self.get_long())
        except getopt.GetoptError as error:
            hint = "`doit help COMMAND` shows a command's options"
            if "not recognized" in str(error):
                known = [f"--{name.rstrip('=')}" for name in self.get_long()]
                hint = nearest(f"--{error.opt}", known, otherwise=hint)
            raise UsageError(str(error), hint=hint) from None
        for flag, text in options:
            described, inverse = self.get_option(flag)
            if described.type is bool:
                params[described.name] = not inverse
            elif described.type is list:
                params[described.name] = [*params[described.name], text]
            else:
                params[described.name] = _value(described, flag, text)
        return params, names


def _value(described: Any, flag: str, text: str) -> Any:
    try:
        return described.str2type(text)
    except Exception:
        raise UsageError(f"{flag} {text!r}: expected {described.type.__name__}") from None


def guarded(action: Callable[[], int | None]) -> int:
    """Run a command to its exit code: 0, 1 with one clear message, 3 with a traceback for a bug, 130/143 on signals.

    141 when whoever reads the command's output has gone away, as the shell has it for other programs.
    """

    def terminate(number: int, frame: object) -> None:
        raise Terminated(number)

    guard_streams()
    previous = signal.signal(signal.SIGTERM, terminate)
    try:
        code = action() or 0
        sys.stdout.flush()
        return code
    except DaintreeError as error:
        return complain(error)
    except BrokenPipeError:
        _drop_output()
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt as stopped:
        what = "terminated" if isinstance(stopped, Terminated) else "interrupted"
        print(f"error: {what}; nothing half-made was kept", file=sys.stderr)
        return exit_code_of(stopped)
    except OSError as error:
        return complain(from_os_error(error))
    except Exception:
        import traceback

        traceback.print_exc()
        return 3
    finally:
        signal.signal(signal.SIGTERM, previous)


def guard_streams() -> None:
    """Put a `Screen` before stdout and stderr, for as long as the process lives.

    A stream that was closed before the start (`>&-`) is None; what is written to it goes nowhere.
    """
    if not isinstance(sys.stdout, Screen):
        sys.stdout = cast(TextIO, Screen(sys.stdout or io.StringIO()))
    if not isinstance(sys.stderr, Screen):
        sys.stderr = cast(TextIO, Screen(_without_lock(sys.stderr or io.StringIO())))


def _without_lock(stream: TextIO) -> TextIO:
    """The process's own stderr with lines that are written at once, by a single write; any other stream as it is.

    A thread that an interrupt has left behind may be in the midst of a write. The buffer below a stream has a lock, and Python
    aborts when a thread holds it at the exit.
    """
    buffer = getattr(stream, "buffer", None)
    if stream is not sys.__stderr__ or not isinstance(buffer, io.BufferedWriter):
        return stream
    return io.TextIOWrapper(
        buffer.raw, encoding=stream.encoding, errors=stream.errors, line_buffering=True
    )


def _drop_output() -> None:
    """Let buffered output go nowhere, so that it does not fail again when Python closes the streams."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        # One that was closed from the start has no number.
        with contextlib.suppress(io.UnsupportedOperation):
            os.dup2(nowhere, stream.fileno())


class Terminated(KeyboardInterrupt):
    """SIGTERM came; treated as an interrupt, but for the exit code."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def exit_code_of(stopped: KeyboardInterrupt) -> int:
    """The exit code of a command that a signal ended, as shells have it: 130, or 143 for SIGTERM."""
    return 128 + (stopped.number if isinstance(stopped, Terminated) else signal.SIGINT)


def complain(error: DaintreeError) -> int:
    """Print an error and its hint on stderr; its exit code."""
    print(f"error: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    return error.exit_code


class Guarded:
    """Stands before one of doit's command classes: arguments in any order, `--help`, one boundary for errors."""

    def get_options(self) -> list[Any]:
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

    def _parse_and_execute(self, arguments: Sequence[str]) -> int | None:
        params, names = self.cmdparser.parse(arguments)
        params.update(self.opt_vals)  # type: ignore[attr-defined]
        if params["help"]:
            print(self.help())  # type: ignore[attr-defined]
            return 0
        code: int | None = self.execute(params, names)  # type: ignore[attr-defined]
        return code


class DaintreeCommand(Guarded, Command):  # type: ignore[misc]
    """A command that runs no doit tasks. Subclasses set doit's `doc_*` and `cmd_options` and define `work`."""

    # How many names the command takes: at least, at most (None: any number).
    names: tuple[int, int | None] = (0, 0)

    def __init_subclass__(cls) -> None:
        """Give the command its line of help."""
        cls.doc_purpose = COMMANDS.get(cls.get_name(), "")

    def execute(self, params: Mapping[str, Any], names: list[str]) -> int | None:
        """Do the command's work. Raises UsageError for too few names or too many."""
        fewest, most = self.names
        if len(names) < fewest:
            raise self.misused("too few names")
        if most is not None and len(names) > most:
            raise self.misused(f"{names[-1]!r} is one name too many")
        return self.work(params, names)

    def misused(self, problem: str) -> UsageError:
        """The error for names that the command does not take, with its usage as the hint."""
        usage = f"doit {self.name} {self.doc_usage}".rstrip()
        return UsageError(f"doit {self.name}: {problem}", hint=usage)

    def work(self, options: Mapping[str, Any], names: list[str]) -> int | None:
        """Do the command's work; return its exit code (None: 0). Raises DaintreeError for all that is wrong with what was typed, or there."""
        raise NotImplementedError

    @cached_property
    def root(self) -> Path:
        return find_project(Path.cwd())

    @cached_property
    def settings(self) -> Settings:
        return read_settings(self.root)


def print_json(value: object) -> None:
    """Print a value as JSON on stdout, alone."""
    import json

    print(json_safe(json.dumps(value, indent=2, ensure_ascii=False)))


def print_result(
    as_json: bool, value: Callable[[], object], lines: Callable[[], Iterable[str]]
) -> None:
    """Print what a command has found out: the value for programs, or the lines for people; only the one is made."""
    if as_json:
        print_json(value())
    else:
        print("\n".join(lines()))


def request_of(pipeline: str, options: Mapping[str, Any], words: Iterable[str] = ()) -> Request:
    """The request that a command line makes, with the options of planning that its command has.

    `words` were typed loosely after the names: more assignments for --set.
    """
    from daintree.pipeline.session import Request

    return Request(
        pipeline=pipeline,
        directory=Path.cwd(),
        sources=tuple(options.get("source", ())),
        output=options.get("output", ""),
        set=(*options.get("set", ()), *words),
        force=tuple(options.get("force", ())),
        runner=options.get("runner", ""),
        sweep=tuple(options.get("sweep", ())),
        large=options.get("yes", False),
        as_of=options.get("as_of", ""),
        verify=options.get("verify", False),
    )


def fixed_address(root: Path, target: str, request: Request, mark: str = "--") -> Address | None:
    """The address of a run, or PIPELINE[:STAGE]@NAME, that was typed; None for PIPELINE[:STAGE], which is planned.

    Such runs are what they are: raises UsageError for an option of planning beside it, which is named with its `mark`.
    """
    # Imported here: half of the commands take no address.
    from daintree.pipeline.addresses import is_run, parse_address

    if "@" not in target and not is_run(root, target):
        return None
    given = {"source": request.sources, "set": request.set, "runner": request.runner}
    for name in filter(given.get, given):
        raise UsageError(
            f"{target} is a run that was made: {mark}{name} cannot change it",
            hint="leave one of them out",
        )
    return parse_address(target, root)


def plan_request(settings: Settings, request: Request, *, fetch: bool = False) -> Planned:
    """The plan of a request, with its session; warns of a stale lock of what would run.

    `fetch` allows a remote source to be downloaded. Raises as `Session` and `make_plan` do.
    """
    # Imported here: half of the commands plan nothing.
    from daintree.components import TOP
    from daintree.pipeline.plan import Planned, make_plan
    from daintree.pipeline.session import Session

    session = Session(settings, request, reserved_names(settings.root))
    made = Planned(session, make_plan(session, fetch=fetch))
    misses = [s for s in made.plan.stages if made.plan.decisions[s.name].status == "miss"]
    versions = [v for v in map(made.plan.version_of, misses) if not v.image]
    names = {
        version.name
        for version in versions
        for user in (version.name, *version.libraries)
        if (settings.root / TOP / user / "requirements.in").exists()
    }
    if names:
        # Imported here: what requires nothing has no lock.
        from daintree.authoring.lock_requirements import stale_locks

        for warning in stale_locks(settings.root, sorted(names)):
            print(f"warning: {warning}", file=sys.stderr)
    return made
