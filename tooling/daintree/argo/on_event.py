"""What retrains when the source has new objects, or when somebody calls a webhook: Argo Events' part and Argo's own."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from hera.events import models as e
from hera.events.models.io.k8s.api.core import v1 as core
from hera.workflows import models as m

from daintree.argo import names
from daintree.argo.cluster_access import ClusterAccess
from daintree.argo.manifest import API_VERSION, plain
from daintree.argo.pods import pod_security
from daintree.argo.submit_step import standing_metadata, submit_spec
from daintree.s3_access import DEFAULT_REGION
from daintree.store.bucket import SCHEME

OBJECTS = "objects"
CREATED = ("s3:ObjectCreated:Put", "s3:ObjectCreated:CompleteMultipartUpload")
# Objects that come together make Workflows one after the other, of which each but the first finds nothing missing.
WORKFLOWS_A_MINUTE = 2


def event_manifests(
    pipeline: str, name: str, pinned: str, access: ClusterAccess, *, source: str, commit: str
) -> list[dict[str, Any]]:
    """The WorkflowTemplate `name`, whose one step plans and submits the pinned pipeline, and what makes Workflows of it.

    An EventSource and a Sensor do for each new object below `source` (s3://bucket/prefix), a WorkflowEventBinding for each
    POST to the Argo server's `/api/v1/events/NAMESPACE/NAME`.
    """
    metadata = standing_metadata(pipeline, name, commit, access)
    template = m.WorkflowTemplate(
        api_version=API_VERSION,
        kind="WorkflowTemplate",
        metadata=metadata,
        spec=submit_spec(pipeline, pinned, access),
    )
    binding = m.WorkflowEventBinding(
        api_version=API_VERSION,
        kind="WorkflowEventBinding",
        metadata=metadata,
        spec=m.WorkflowEventBindingSpec(
            event=m.Event(selector=f'discriminator == "{name}"'),
            submit=m.Submit(workflow_template_ref=m.WorkflowTemplateRef(name=name)),
        ),
    )
    return [
        plain(template),
        _event_source(metadata, access, source),
        _sensor(metadata, name),
        plain(binding),
    ]


def _event_source(metadata: m.ObjectMeta, access: ClusterAccess, source: str) -> dict[str, Any]:
    bucket, _, prefix = source.removeprefix(SCHEME).partition("/")
    server = urlsplit(access.endpoint or "https://s3.amazonaws.com")
    watched = e.S3Artifact(
        endpoint=server.netloc,
        insecure=server.scheme == "http",
        region=access.region or DEFAULT_REGION,
        bucket=e.S3Bucket(name=bucket),
        events=list(CREATED),
        filter=e.S3Filter(prefix=prefix) if prefix else None,
        access_key=core.SecretKeySelector(name=names.STORE_SECRET, key=names.ACCESS_KEY),
        secret_key=core.SecretKeySelector(name=names.STORE_SECRET, key=names.SECRET_KEY),
    )
    template = e.Template(security_context=_security())
    spec = e.EventSourceSpec(minio={OBJECTS: watched}, template=template)
    return _document("EventSource", metadata, plain(spec))


def _sensor(metadata: m.ObjectMeta, name: str) -> dict[str, Any]:
    spec = e.SensorSpec(
        dependencies=[e.EventDependency(name=OBJECTS, event_source_name=name, event_name=OBJECTS)],
        template=e.Template(
            service_account_name=names.SUBMITTER_ACCOUNT, security_context=_security()
        ),
        triggers=[
            e.Trigger(
                template=e.TriggerTemplate(
                    name="submit", k8s=e.StandardK8STrigger(operation="create")
                ),
                rate_limit=e.RateLimit(unit="Minute", requests_per_unit=WORKFLOWS_A_MINUTE),
            )
        ],
    )
    document = _document("Sensor", metadata, plain(spec))
    # The object to create stands there as it is, for which hera has no model.
    trigger = document["spec"]["triggers"][0]["template"]["k8s"]
    trigger["source"] = {"resource": _made(metadata, name)}
    return document


def _made(metadata: m.ObjectMeta, name: str) -> dict[str, Any]:
    """The Workflow that an event makes. It has not the pipeline's label, by which its stages' Workflow is found."""
    workflow = m.Workflow(
        api_version=API_VERSION,
        kind="Workflow",
        metadata=m.ObjectMeta(generate_name=f"{name}-", namespace=metadata.namespace),
        spec=m.WorkflowSpec(workflow_template_ref=m.WorkflowTemplateRef(name=name)),
    )
    return plain(workflow)


def _document(kind: str, metadata: m.ObjectMeta, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": plain(metadata), "spec": spec}


def _security() -> Any:
    return core.PodSecurityContext.model_validate(plain(pod_security()))
