"""`component.yaml`: a component's or library's description of itself."""

from __future__ import annotations

from typing import Literal

import msgspec

Scalar = bool | int | float | str

# Every stage has these variables and values, so that its result does not depend on who runs it.
FIXED_VARIABLES = {
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PYTHONUNBUFFERED": "1",
}


ParamType = Literal["int", "float", "str", "bool"]


class Resources(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of a stage: `cpu` cores (0: no limit) and `memory` such as "512Mi" or "2Gi" ("": no limit); the `gpu` devices it gets."""

    cpu: float = 0
    memory: str = ""
    gpu: int = 0


class Param(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One parameter: its type, its default (none: it must be given), the values allowed, a line of help.

    `affects_output: false` says that it changes only how fast, never what: it stays out of the stage key.
    """

    type: ParamType
    default: Scalar | None = None
    help: str = ""
    choices: tuple[Scalar, ...] = ()
    affects_output: bool = True


class ComponentSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A component's own description; every part has a default, so the file may be missing.

    `python` is the version that it runs with, e.g. "3.12" ("": the tooling's own). `uses` names the libraries whose sources lie beside main.py; `network` whether the stage needs one; `env` the variables
    of your environment that the stage gets, for credentials and addresses alone; `outputs` the files its output must hold (`[]`: none, for a stage whose effect is not in files); `build_args` go to the image build. `serves` makes it a service: it
    answers requests until it is stopped, from what the stage it names, as PIPELINE:STAGE, has written. `monitors`
    makes it a monitor: it compares what a service of that stage has served with what the model was trained on.
    """

    description: str = ""
    python: str = ""
    uses: tuple[str, ...] = ()
    params: dict[str, Param] = {}
    network: bool = False
    env: tuple[str, ...] = ()
    resources: Resources = Resources()
    outputs: tuple[str, ...] | None = None
    serves: str = ""
    monitors: str = ""
    build_args: dict[str, str] = {}
