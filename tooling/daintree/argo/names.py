"""Names and arguments that Kubernetes and Argo take as they are meant: readable names, never two of one, and escaped text."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable

from daintree.digest import digest_record, short
from daintree.errors import UsageError
from daintree.spec.component import Scalar, as_argument

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
# Before the name of a variable that recording gets to keep its value out of logs.
MASKED = "MASKED_"
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
# A stage's one output, in Argo's artifacts.
OUTPUT_ARTIFACT = "output"
# The stage that the exit handler is for people.
RECORD = "record"

_OTHER = re.compile(r"[^a-z0-9]+")
_LABEL = re.compile(r"[^A-Za-z0-9._-]+")
_DIGITS = 8


def kubernetes_name(text: str, longest: int) -> str:
    """`text` as small letters, digits and single dashes, at most so long; one that had to be cut ends in digits of its digest."""
    name = _OTHER.sub("-", text.lower()).strip("-") or "x"
    return name if len(name) <= longest else _with_digits(name, text, longest)


def distinct_names(
    texts: Iterable[str], longest: int, taken: Collection[str] = ()
) -> dict[str, str]:
    """A name of its own for each text, none of `taken`.

    Where several texts come to the same name, each of them but one that has that very name ends in digits of its
    digest: so a text's name does not depend on the order.
    """
    wanted = {text: kubernetes_name(text, longest) for text in texts}
    used = [*wanted.values(), *taken]
    return {
        text: name
        if used.count(name) == 1 or (name == text and name not in taken)
        else _with_digits(name, text, longest)
        for text, name in wanted.items()
    }


def label_value(text: str) -> str:
    """`text` as a label takes it: at most 63 letters, digits, `.`, `_` and `-`; `/` and others become `.`."""
    value = _LABEL.sub(".", text)
    if len(value) > LONGEST_LABEL:
        value = _with_digits(value, text, LONGEST_LABEL)
    return value.strip("._-")


def _with_digits(name: str, text: str, longest: int) -> str:
    """The name with digits of the text's digest behind it, cut to be at most so long."""
    digits = short(digest_record("name", 1, text), _DIGITS)
    return f"{name[: longest - _DIGITS - 1].rstrip('-')}-{digits}"


# A variable of the container that holds a brace: `{{` is written with it, and only the kubelet puts it back.
BRACE = "BRACE"
BRACE_VARIABLES = {BRACE: "{"}

# What both leave alone, and what people read at a glance: no braces, no `$`, no quotes, nothing invisible.
_EDGE = r"[A-Za-z0-9_./:@,;+*=()\[\]<>!?&%#^~|-]"
_PLAIN = re.compile(rf"{_EDGE}(?:(?:{_EDGE}| ){{0,198}}{_EDGE})?")


def is_plain(value: Scalar) -> bool:
    """True when a parameter's value may be passed through Argo's own parameters."""
    return _PLAIN.fullmatch(as_argument(value)) is not None


def flag(name: str, value: Scalar) -> str:
    """A parameter as one word of the command line: joined, so that no value is taken for a flag."""
    return f"--{name.replace('_', '-')}={as_argument(value)}"


def escape(text: str) -> str:
    """`text` for a manifest's `command`, `args` or the value of a variable: as Argo and the kubelet make `text` of it."""
    text = text.replace("$", "$$")
    return text.replace("{", f"$({BRACE})") if "{{" in text else text


def needs_brace(texts: Iterable[str]) -> bool:
    """True when the container of these escaped texts needs BRACE_VARIABLES."""
    return any(f"$({BRACE})" in text for text in texts)


# More than this Argo puts into a file, where the kubelet puts nothing back: a container would get the escaped texts.
MOST_ARGUMENT_BYTES = 128 << 10
# Go writes each of them as six bytes of JSON.
_LONG_IN_JSON = re.compile("[<>&\u2028\u2029]")


def passed_arguments(stage: str, words: tuple[str, ...]) -> tuple[str, ...]:
    """The arguments of a stage. Raises UsageError for more than Argo passes as they are."""
    text = json.dumps([escape(word) for word in words], ensure_ascii=False, separators=(",", ":"))
    size = len(_LONG_IN_JSON.sub("......", text).encode("utf-8", "surrogatepass"))
    if size > MOST_ARGUMENT_BYTES:
        raise UsageError(
            f"stage {stage!r}: its parameters are {size} bytes in a manifest, and Argo passes at most {MOST_ARGUMENT_BYTES} as they are",
            hint="put what is long into a file: of a source, or of another stage's output",
        )
    return words
