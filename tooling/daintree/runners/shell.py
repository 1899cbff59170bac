"""A shell in a stage's environment: the stage's command as a script, and how the shell is started."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from daintree.runners.runner import Job

# $0 is the file that an interactive bash reads first; what is no terminal is read as a script.
_START = 'if command -v bash >/dev/null; then exec bash --rcfile "$0"; else exec sh; fi'
_RUN = """\
#!/bin/sh
# A component writes into an empty directory.
find {output} -mindepth 1 -depth -exec rm -rf {{}} +
exec {command} "$@"
"""
_FIRST = """\
PS1={prompt}
history -s "$RUN"
"""


def shell_command(
    job: Job, stage: Sequence[str], *, input: str, output: str, place: str
) -> tuple[list[str], dict[str, str]]:
    """The command that starts a shell, and the variables it needs: RUN, INPUT and OUTPUT.

    `stage` is the stage's own command, which the script $RUN runs after it has emptied the output; `input`,
    `output` and `place` (the job's scratch, where the script is written) are paths as the shell will see them.
    """
    script = job.scratch / "run"
    command, quoted = shlex.join(stage), shlex.quote(output)
    script.write_text(_RUN.format(output=quoted, command=command), encoding="utf-8")
    script.chmod(0o755)
    first = _FIRST.format(prompt=shlex.quote(f"({job.label}) $ "))
    (job.scratch / "first").write_text(first, encoding="utf-8")
    variables = {"RUN": f"{place}/run", "INPUT": input, "OUTPUT": output}
    return ["sh", "-c", _START, f"{place}/first"], variables
