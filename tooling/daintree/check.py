"""One thing that has to be there, and whether it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from daintree.errors import DaintreeError

OK, MISSING, UNKNOWN = "ok", "missing", "unknown"


class Check(msgspec.Struct, frozen=True):
    """What was looked at, and what was found: `what` is what is there, or what is wrong; `hint` what to do then.

    `unknown`: whoever asked may not look.
    """

    name: str
    state: Literal["ok", "missing", "unknown"]
    what: str
    hint: str = ""


def checked(
    name: str, ask: Callable[[], str], unknown: type[DaintreeError] | tuple[()] = ()
) -> Check:
    """Whether `ask` returns, with what is there, or raises what is wrong; an `unknown` error says that it cannot be told."""
    try:
        return Check(name, "ok", ask())
    except unknown as error:
        return Check(name, "unknown", error.message, error.hint)
    except DaintreeError as error:
        return Check(name, "missing", error.message, error.hint)
