"""The whole pipeline as a WorkflowTemplate that people own: to commit, to edit, and to submit with whatever they like."""

from __future__ import annotations

from typing import Any

import msgspec

from daintree.argo import names
from daintree.argo.access import ClusterAccess
from daintree.argo.manifest import STAGE_KEY, plain, workflow_manifest
from daintree.argo.submission import RECORD_TEMPLATE, RETRIES, WORKFLOW_NAME, Submission
from daintree.argo.triggers import standing_metadata

BY_HAND = "by-hand"


def template_manifest(submission: Submission, name: str, access: ClusterAccess) -> dict[str, Any]:
    """The WorkflowTemplate `name` of a submission of every stage.

    Each stage is a pod, and its output goes below `by-hand/PIPELINE/WORKFLOW/STAGE` in the store's bucket, for each attempt
    apart. Nothing of it is recorded: an edited template computes whatever it says, which no key vouches for.
    """
    apart = msgspec.structs.replace(submission, prefix=_prefix(submission.pipeline))
    document = workflow_manifest(apart, access)
    spec = document["spec"]
    del spec["onExit"]
    spec["templates"] = [t for t in spec["templates"] if t["name"] != RECORD_TEMPLATE]
    for template in spec["templates"]:
        _without_keys(template)
    metadata = standing_metadata(submission.pipeline, name, submission.commit, access)
    return {**document, "kind": "WorkflowTemplate", "metadata": plain(metadata)}


def _prefix(pipeline: str) -> str:
    """Where outputs go, in the form of the setting `prefix`, in which braces are doubled."""
    words = (WORKFLOW_NAME, "{{inputs.parameters.stage}}", RETRIES)
    written = "/".join(word.replace("{", "{{").replace("}", "}}") for word in words)
    return f"{BY_HAND}/{pipeline}/{written}"


def _without_keys(template: dict[str, Any]) -> None:
    """Take away the stage keys, which hold for what was planned alone."""
    tasks = template.get("dag", {}).get("tasks", ())
    for holder in (*(task["arguments"] for task in tasks), template.get("inputs", {})):
        if "parameters" in holder:
            holder["parameters"] = [p for p in holder["parameters"] if p["name"] != STAGE_KEY]
    template.get("metadata", {}).get("annotations", {}).pop(names.STAGE_KEY, None)
