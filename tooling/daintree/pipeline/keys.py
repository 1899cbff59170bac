"""The two keys a stage's output is found under: one function each, for every runner and every machine.

The recipe key comes from the plan alone and is known before anything runs; the content key comes from the actual
input digests, so that an input that was recomputed to the same bytes leads to the same output (early cutoff).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from daintree.digest import digest_record
from daintree.spec.component import Scalar


def recipe_key(
    *,
    version: str,
    parameters: Mapping[str, Scalar],
    environment: str,
    needs: Mapping[str, str],
    sources: Mapping[str, str],
    refresh: str = "",
) -> str:
    """The key of "this component, so parametrised, on whatever those recipes give".

    `parameters` are those that affect the output; `needs` are the recipe keys of the needs by name; `sources` the
    identities of the sources that it reads by name, "" for the pipeline's one source; `refresh` the token of the time for which
    the output is good, "" for one that stays so.
    """
    return digest_record(
        "recipe-key",
        1,
        {
            "version": version,
            "parameters": dict(parameters),
            "environment": environment,
            "needs": dict(needs),
            "source": sources[""] if "" in sources else dict(sources) or "",
            **({"refresh": refresh} if refresh else {}),
        },
    )


# The file that stands for the output of a stage whose effect is not in files (`outputs: []`) and has written none.
RECEIPT = "receipt.json"


def receipt(component: str, content: str) -> bytes:
    """The receipt of what was done and, by its content key, on what: the stages after it run again when that changes."""
    text = msgspec.json.encode({"component": component, "content_key": content})
    return msgspec.json.format(text) + b"\n"


def content_key(
    *,
    version: str,
    parameters: Mapping[str, Scalar],
    environment: str,
    inputs: Mapping[str, str],
    refresh: str = "",
) -> str:
    """The key of "this component, so parametrised, on exactly these bytes".

    `inputs` are the digests of the inputs by name. A single input's name stays out of the key, because the
    component never sees it; with several, the names are the subdirectories it reads. `refresh` is as for `recipe_key`.
    """
    named: list[str] | dict[str, str]
    named = list(inputs.values()) if len(inputs) == 1 else dict(inputs)
    return digest_record(
        "content-key",
        1,
        {
            "version": version,
            "parameters": dict(parameters),
            "environment": environment,
            "inputs": named,
            **({"refresh": refresh} if refresh else {}),
        },
    )
