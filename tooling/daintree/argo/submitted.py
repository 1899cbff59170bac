"""What a Workflow was submitted as: its annotation names the submission, the store keeps it."""

from __future__ import annotations

import re

import msgspec

from daintree.argo.names import SUBMISSION
from daintree.argo.submission import Submission
from daintree.cluster.protocol import Object
from daintree.digest import short
from daintree.errors import StoreError, UsageError
from daintree.manifest import SCHEMA, decode
from daintree.store.bucket import Bucket
from daintree.store.records import SUBMISSIONS

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class _Written(msgspec.Struct, frozen=True):
    schema: int


def submission_of(workflow: Object, bucket: Bucket) -> Submission:
    """The submission of a Workflow, whole.

    Raises UsageError for a Workflow that has none, StoreError where the store does not have it, or not as it was submitted.
    """
    metadata = workflow["metadata"]
    digest = str((metadata.get("annotations") or {}).get(SUBMISSION, ""))
    if not _DIGEST.fullmatch(digest):
        raise UsageError(
            f"the Workflow {metadata['name']} was not written by `doit argo`: it has no annotation {SUBMISSION}",
            hint="only what was planned and submitted can be recorded under its keys",
        )
    place = f"{SUBMISSIONS}/{short(digest, 64)}"
    content = bucket.get([place])[0]
    if content is None:
        raise StoreError(
            f"the submission of the Workflow {metadata['name']} is not in {bucket.url}: {place} is missing",
            hint="is this the store that it was submitted from? DAINTREE_STORE names it",
        )
    submission = decode(Submission, content)
    if submission is None or submission.digest != digest:
        raise StoreError(
            f"the submission {bucket.url}/{place} cannot be used: {_fault(content)}",
            hint="submit the pipeline again: what is missing is computed anew",
        )
    return submission


def _fault(content: bytes) -> str:
    try:
        schema = msgspec.json.decode(content, type=_Written).schema
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "it is damaged"
    if schema > SCHEMA:
        return f"it is of schema {schema}, written by a newer version of this tooling, which has to record it"
    return "it is not what its digest says"
