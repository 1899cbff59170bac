"""Submissions of any pipeline, for what has to hold of all of them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from daintree.argo.names import distinct_names, flag
from daintree.argo.submission import Submission, SubmittedHit, SubmittedStage
from daintree.spec.component import Resources
from tests.argo.conftest import digest, make_submission, submitted_stage

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}", fullmatch=True)
VALUES = (
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
)


def with_parameters(name: str, parameters: dict[str, Any], **more: Any) -> SubmittedStage:
    """A stage with these parameters and the arguments that they make."""
    given = (flag(key, value) for key, value in sorted(parameters.items()))
    arguments = ("--input", "/application/data/input", "--output", "/application/data/output")
    return submitted_stage(name, parameters=parameters, arguments=(*arguments, *given), **more)


@st.composite
def submissions(draw: st.DrawFn) -> Submission:
    """Any pipeline: stages with any names and parameters, each reading some that come before, or hits."""
    names = draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    hits = draw(st.integers(0, len(names) - 1))
    tasks = distinct_names(names, 63)
    templates = distinct_names([f"text/{name}" for name in names], 63, ("pipeline", "record"))
    stages = []
    for place, name in list(enumerate(names))[hits:]:
        needs = (
            draw(st.lists(st.sampled_from(names[:place]), unique=True, max_size=3)) if place else []
        )
        parameters = draw(
            st.dictionaries(
                st.from_regex(r"[a-z][a-z0-9_]{0,30}", fullmatch=True), VALUES, max_size=4
            )
        )
        stages.append(
            with_parameters(
                name,
                parameters,
                needs=tuple(needs),
                task=tasks[name],
                template=templates[f"text/{name}"],
                resources=draw(st.sampled_from([Resources(), Resources(cpu=0.25, memory="64Mi")])),
            )
        )
    submitted_hits = [
        SubmittedHit(name=n, location=f"text/{n}/run", digest=digest("7")) for n in names[:hits]
    ]
    return make_submission(*stages, pipeline=draw(NAMES), hits=tuple(submitted_hits))
