"""What a stage's container finds and gets in a pod: written into manifests, and looked for in what has run."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from daintree.argo.arguments import BRACE_VARIABLES, needs_brace
from daintree.argo.names import distinct_names
from daintree.argo.submission import SubmittedSource, SubmittedStage
from daintree.runners.container import INPUT, OUTPUT, SCRATCH, TEMPORARY
from daintree.runners.variables import container_variables

INPUT_ARTIFACT, OUTPUT_ARTIFACT = "input", "output"
# The volumes of a stage's pod, each empty and gone with it, and where they are mounted.
STAGE_VOLUMES = {"output": OUTPUT, "scratch": SCRATCH, "temporary": TEMPORARY}
_LONGEST_ARTIFACT = 100


class InputPlace(msgspec.Struct, frozen=True):
    """An input artifact: its name, and the path at which the container has it."""

    artifact: str
    path: str


def input_places(stage: SubmittedStage, source: SubmittedSource) -> dict[str, InputPlace]:
    """The stage's inputs by need ("" for the source)."""
    if len(stage.needs) > 1:
        artifacts = distinct_names(stage.needs, _LONGEST_ARTIFACT)
        return {need: InputPlace(name, f"{INPUT}/{need}") for need, name in artifacts.items()}
    if stage.needs:
        return {stage.needs[0]: InputPlace(INPUT_ARTIFACT, INPUT)}
    return {"": InputPlace(INPUT_ARTIFACT, f"{INPUT}/{source.file}".rstrip("/"))}


def stage_variables(texts: Iterable[str]) -> dict[str, str]:
    """The container's variables, as in every runner; `texts` are its command and arguments as they are written."""
    variables = container_variables(
        {}, home=TEMPORARY, scratch=SCRATCH, network=False, object_store=False
    )
    return {**variables, **(BRACE_VARIABLES if needs_brace(tuple(texts)) else {})}
