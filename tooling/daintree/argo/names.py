"""Names that Kubernetes and Argo take, from names that need not be such: readable, and never two of one name."""

from __future__ import annotations

import re
from collections.abc import Iterable

from daintree.digest import digest_record, short

# A Workflow's name is also a label's value; a CronWorkflow's gets a time behind it.
LONGEST_WORKFLOW = 63
LONGEST_CRON_WORKFLOW = 52
LONGEST_LABEL = 63

# The names of what `deploy/argo` makes in the namespace.
EXECUTOR_ACCOUNT = "daintree-executor"
RECORD_ACCOUNT = "daintree-record"
SUBMITTER_ACCOUNT = "daintree-submitter"
STORE_SECRET = "daintree-store"
ACCESS_KEY, SECRET_KEY = "access-key", "secret-key"
REPOSITORIES, REPOSITORY = "daintree-artifacts", "store"

# On Workflows: their annotations with the digest that their submission is kept under and the time of planning, and labels.
SUBMISSION = "ml.daintree/submission"
PLANNED = "ml.daintree/planned"
PIPELINE = "ml.daintree/pipeline"
STAGE = "ml.daintree/stage"
STAGE_KEY = "ml.daintree/stage-key"
COMPONENT = "ml.daintree/component"
VERSION = "ml.daintree/version"
COMMIT = "ml.daintree/commit"
SOURCE = "ml.daintree/source"

# What tells a task's template which stage it is.
STAGE_PARAMETER, STAGE_KEY_PARAMETER = "stage", "stage-key"
# The stage that the exit handler is for people.
RECORD = "record"

_OTHER = re.compile(r"[^a-z0-9]+")
_LABEL = re.compile(r"[^A-Za-z0-9._-]+")
_DIGITS = 8


def kubernetes_name(text: str, longest: int) -> str:
    """`text` as small letters, digits and single dashes, at most so long; one that had to be cut ends in digits of its digest."""
    name = _OTHER.sub("-", text.lower()).strip("-") or "x"
    if len(name) <= longest:
        return name
    return f"{name[: longest - _DIGITS - 1].rstrip('-')}-{_digits(text)}"


def distinct_names(texts: Iterable[str], longest: int, taken: Iterable[str] = ()) -> dict[str, str]:
    """A name of its own for each text, none of `taken`.

    Where several texts come to the same name, each of them but one that has that very name ends in digits of its
    digest: so a text's name does not depend on the order.
    """
    wanted = {text: kubernetes_name(text, longest) for text in texts}
    used = [*wanted.values(), *taken]
    return {
        text: name
        if used.count(name) == 1 or (name == text and name not in taken)
        else _apart(text, longest)
        for text, name in wanted.items()
    }


def label_value(text: str) -> str:
    """`text` as a label takes it: at most 63 letters, digits, `.`, `_` and `-`; `/` and others become `.`."""
    value = _LABEL.sub(".", text)
    if len(value) > LONGEST_LABEL:
        value = f"{value[: LONGEST_LABEL - _DIGITS - 1]}-{_digits(text)}"
    return value.strip("._-")


def _apart(text: str, longest: int) -> str:
    stem = _OTHER.sub("-", text.lower()).strip("-")[: longest - _DIGITS - 1].strip("-") or "x"
    return f"{stem}-{_digits(text)}"


def _digits(text: str) -> str:
    return short(digest_record("name", 1, text), _DIGITS)
