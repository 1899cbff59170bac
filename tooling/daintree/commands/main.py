"""The program `doit` of an environment with this tooling: doit itself, which tells what is wrong with the file that it reads first."""

from __future__ import annotations

import sys


def main() -> None:
    """Run doit on the command line; exit code 1 and one message where it cannot read pyproject.toml or doit.cfg."""
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
