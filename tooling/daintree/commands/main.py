"""The program `doit` of an environment with this tooling: doit itself, which tells what is wrong with the file that it reads first."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daintree.components import WorkingTree

# The tree of `doit affected`: git looks at it while Python imports doit and the command.
started_tree: WorkingTree | None = None


def main() -> None:
    """Run doit on the command line; exit code 130 and one message on an interrupt, also while modules are imported."""
    try:
        _run()
    except KeyboardInterrupt:
        print("error: interrupted; nothing half-made was kept", file=sys.stderr)
        sys.exit(130)


def _run() -> None:
    """Run doit; exit code 1 and one message where it cannot read pyproject.toml or doit.cfg.

    Outside of a project too, --version tells both versions.
    """
    # What is imported is no garbage: by default Python looks through it a hundred times before a command begins.
    gc.set_threshold(50_000)
    if sys.argv[1:] == ["--version"]:
        from daintree.commands.command import guarded

        sys.exit(guarded(_print_version))
    if sys.argv[1:2] == ["affected"] and not {"-h", "--help"} & {*sys.argv}:
        _start_tree()
    from doit.doit_cmd import DoitMain

    try:
        program = DoitMain()
    except Exception as error:
        from daintree.commands.command import complain
        from daintree.errors import SettingsError

        complain(
            SettingsError(
                f"pyproject.toml cannot be read: {str(error) or type(error).__name__}",
                hint="mend the file: doit takes [tool.doit] from it, and doit.cfg if there is one, before anything else",
            )
        )
        sys.exit(1)
    sys.exit(program.run(sys.argv[1:]))


def _print_version() -> None:
    import doit

    from daintree import __version__

    print(f"daintree {__version__}, doit {'.'.join(map(str, doit.__version__))}")


def _start_tree() -> None:
    from contextlib import suppress
    from pathlib import Path

    from daintree.components.entries import MARKS, all_places
    from daintree.components.tree import WorkingTree
    from daintree.errors import DaintreeError
    from daintree.settings import find_project

    global started_tree
    # The command says what is wrong.
    with suppress(DaintreeError, OSError):
        tree = WorkingTree(find_project(Path.cwd()))
        tree.start(all_places(tree.root), MARKS)
        started_tree = tree
