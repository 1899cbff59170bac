"""The one step of what retrains in a cluster: a pod of the tooling that plans a pipeline and submits what is missing.

The pipeline goes along, pinned. Where nothing is missing, this pod is all that a retraining costs.
"""

from __future__ import annotations

from hera.workflows import models as m

from daintree.argo import names
from daintree.argo.cluster_access import ClusterAccess
from daintree.argo.manifest import KEPT_SECONDS
from daintree.argo.names import label_value
from daintree.argo.pods import (
    TOOLING_VOLUMES,
    container_security,
    environment,
    mounts,
    pod_security,
    store_environment,
)
from daintree.argo.stage_templates import RETRIES, retries

SUBMIT_TEMPLATE = "submit"
# Where the tooling's image has its project.
PROJECT = "/project"
LOGIN = "/login"
# A step that only plans and submits takes seconds.
DEADLINE_SECONDS = 60 * 60


def submit_spec(pipeline: str, pinned: str, access: ClusterAccess) -> m.WorkflowSpec:
    """A Workflow whose one step submits the pipeline that `pinned` holds."""
    return m.WorkflowSpec(
        entrypoint=SUBMIT_TEMPLATE,
        service_account_name=names.SUBMITTER_ACCOUNT,
        security_context=pod_security(),
        image_pull_secrets=access.pull_secrets,
        node_selector=dict(access.node_selector) or None,
        active_deadline_seconds=DEADLINE_SECONDS,
        pod_gc=m.PodGC(strategy="OnWorkflowSuccess"),
        ttl_strategy=m.TTLStrategy(
            seconds_after_success=KEPT_SECONDS["success"],
            seconds_after_failure=KEPT_SECONDS["failure"],
        ),
        # Two plans of one moment would find the same stages missing.
        synchronization=m.Synchronization(mutexes=[m.Mutex(name=_mutex(pipeline))]),
        volumes=_volumes(access),
        templates=[_template(pipeline, pinned, access)],
    )


def standing_metadata(pipeline: str, name: str, commit: str, access: ClusterAccess) -> m.ObjectMeta:
    """The metadata of what stays in the cluster and makes Workflows of a pipeline."""
    return m.ObjectMeta(
        name=name,
        namespace=access.namespace,
        labels={names.PIPELINE: label_value(pipeline)},
        annotations={
            names.PIPELINE: pipeline,
            **({names.COMMIT: commit} if commit else {}),
        },
    )


def _mutex(pipeline: str) -> str:
    return names.kubernetes_name(f"submit-{pipeline}", names.LONGEST_WORKFLOW)


def _template(pipeline: str, pinned: str, access: ClusterAccess) -> m.Template:
    chosen = {**TOOLING_VOLUMES, **({"login": LOGIN} if access.pull_secrets else {})}
    return m.Template(
        name=SUBMIT_TEMPLATE,
        inputs=m.Inputs(
            artifacts=[
                m.Artifact(
                    name="pipeline",
                    path=f"{PROJECT}/pipelines/{pipeline}.json",
                    raw=m.RawArtifact(data=pinned),
                )
            ]
        ),
        retry_strategy=retries("OnError", RETRIES),
        container=m.Container(
            image=access.tooling_image,
            command=["doit"],
            args=["submit", pipeline],
            env=_environment(access),
            security_context=container_security(),
            volume_mounts=mounts(chosen),
        ),
    )


def _environment(access: ClusterAccess) -> list[m.EnvVar]:
    """The settings that submitting takes, as they are here."""
    settings = access.settings
    selector = ",".join(f"{label}={value}" for label, value in settings.argo_node_selector.items())
    variables = {
        "DAINTREE_PLATFORM": settings.platform,
        "DAINTREE_REGISTRY": settings.registry,
        "DAINTREE_REGISTRY_PLAIN_HTTP": "true" if settings.registry_plain_http else "",
        "DAINTREE_ARGO_DEADLINE": str(settings.argo_deadline),
        "DAINTREE_ARGO_ENDPOINT": access.endpoint,
        "DAINTREE_ARGO_IMAGE": access.tooling_image,
        "DAINTREE_ARGO_NODE_SELECTOR": selector,
        "DAINTREE_ARGO_PULL_SECRET": settings.argo_pull_secret,
        "DOCKER_CONFIG": LOGIN if access.pull_secrets else "",
    }
    given = {name: value for name, value in variables.items() if value}
    return [
        *environment(given),
        *store_environment(settings, access.endpoint, access.region),
    ]


def _volumes(access: ClusterAccess) -> list[m.Volume]:
    volumes = [m.Volume(name=name, empty_dir=m.EmptyDirVolumeSource()) for name in TOOLING_VOLUMES]
    if not access.settings.argo_pull_secret:
        return volumes
    login = m.SecretVolumeSource(
        secret_name=access.settings.argo_pull_secret,
        items=[m.KeyToPath(key=".dockerconfigjson", path="config.json")],
    )
    return [*volumes, m.Volume(name="login", secret=login)]
