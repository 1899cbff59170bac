"""The environment of a stage: its variables, as a process of this machine and in a container, and a shell in it."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from daintree.errors import EnvironmentFailed
from daintree.runners.interpreter import bytecode_directory
from daintree.runners.runner import Job
from daintree.spec.component import FIXED_VARIABLES

if TYPE_CHECKING:
    from daintree.store.s3 import S3Access

_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
# The base that every stage on this machine gets: how to use the machine and its network, never what to compute.
BASE_VARIABLES = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME"),
        *_PROXIES,
        *(name.upper() for name in _PROXIES),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"),
        *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"),
        *("CUDA_HOME", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"),
        *("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HSA_OVERRIDE_GFX_VERSION"),
        *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
        *("OPENBLAS_NUM_THREADS", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"),
    )
)
# The settings and keys of an object store; only for a stage that reads or writes one itself.
STORE_PREFIXES = ("AWS_", "MINIO_")

_NO_KEYS = re.compile(r"NoCredentials|[Uu]nable to locate credentials|PartialCredentials")
_NO_MODULE = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")


def stage_variables(
    outside: Mapping[str, str],
    python: Path,
    scratch: Path,
    *,
    names: Collection[str] = (),
    object_store: bool = False,
) -> dict[str, str]:
    """The variables of a stage run by an environment's `python`, with `scratch` for temporary files.

    Of `outside` pass the base, the `names` that the component declares and, for an `object_store`, the access that the tooling
    itself has; nothing else, because the same component runs in a container and no variable is part of a stage key. Locale, time zone
    and hash seed are fixed. The result may hold credentials: never to be shown or recorded whole.
    """
    passed = {
        name: value for name, value in outside.items() if name in BASE_VARIABLES or name in names
    }
    if object_store:
        from daintree.store.s3 import read_s3_access

        passed |= read_s3_access(outside).variables(outside)
    search = [str(python.parent), *filter(None, [passed.get("PATH", os.defpath)])]
    return {
        **passed,
        **FIXED_VARIABLES,
        "PATH": os.pathsep.join(search),
        "TMPDIR": str(scratch),
        # Bytecode beside the sources would change the snapshot; none at all would slow every import
        # down.
        "PYTHONPYCACHEPREFIX": str(bytecode_directory(python)),
    }


def container_variables(
    outside: Mapping[str, str],
    *,
    home: str,
    scratch: str,
    network: bool,
    names: Collection[str] = (),
    access: S3Access | None = None,
    ca_bundle: str = "",
) -> dict[str, str]:
    """The variables of a stage in a container, whose paths `home`, `scratch` and `ca_bundle` are.

    Of `outside` pass the user's name, the `names` that the component declares, with a `network` the proxies that lead out of
    it, and for a stage that reads an object store its `access`. The result may hold credentials: never to be shown or recorded.
    """
    passed = {
        name: value
        for name, value in outside.items()
        if (network and name.lower() in _PROXIES) or name in names
    }
    if access is not None:
        passed |= access.variables(outside, ca_bundle)
    user = outside.get("USER") or outside.get("LOGNAME") or "stage"
    own = {"HOME": home, "USER": user, "LOGNAME": user, "TMPDIR": scratch}
    return {**passed, **FIXED_VARIABLES, **own}


def missing_variables(
    component: str, names: Collection[str], outside: Mapping[str, str]
) -> EnvironmentFailed | None:
    """The error of a component that declares variables which `outside` does not have; None where it has all."""
    missing = [name for name in names if name not in outside]
    if not missing:
        return None
    return EnvironmentFailed(
        f"{component} needs the environment variable {', '.join(missing)}: its component.yaml names it in `env`",
        hint=f"export {missing[0]}=…",
    )


def failure_hint(
    component: str, said: Sequence[str], names: Collection[str], outside: Mapping[str, str]
) -> str:
    """The cure for a stage that failed for want of a variable or a package, from the last lines it said; "" for none known."""
    text = "\n".join(said)
    module = _NO_MODULE.search(text)
    if module:
        return (
            f"is the package of {module[1]} in components/{component}/requirements.in, and is that locked?"
            f" doit lock {component}"
        )
    withheld = [
        name
        for name in dict.fromkeys(re.findall(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+", text))
        if name in outside and name not in names and name not in BASE_VARIABLES
    ]
    if not withheld and _NO_KEYS.search(text):
        withheld = [n for n in sorted(outside) if n.startswith(STORE_PREFIXES) and n not in names]
    if not withheld:
        return ""
    return (
        "a stage gets only the variables that its component names:"
        f" env: [{', '.join(withheld)}] in components/{component}/component.yaml"
    )


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
    job: Job, stage: Sequence[str], *, input: str, output: str, scratch: str
) -> tuple[list[str], dict[str, str]]:
    """The command that starts a shell, and the variables it needs: RUN, INPUT, OUTPUT and TERM.

    `stage` is the stage's own command, which the script $RUN runs after it has emptied the output; `input`, `output` and
    `scratch` (the job's, where the script is written) are paths as the shell will see them.
    """
    import shlex

    script = job.scratch / "run"
    command, quoted = shlex.join(stage), shlex.quote(output)
    script.write_text(_RUN.format(output=quoted, command=command), encoding="utf-8")
    script.chmod(0o755)
    first = _FIRST.format(prompt=shlex.quote(f"({job.label}) $ "))
    (job.scratch / "first").write_text(first, encoding="utf-8")
    terminal = os.environ.get("TERM", "dumb")
    variables = {"RUN": f"{scratch}/run", "INPUT": input, "OUTPUT": output, "TERM": terminal}
    return ["sh", "-c", _START, f"{scratch}/first"], variables
