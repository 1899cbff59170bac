"""What holds for every pod: who runs in it, what it may write, and what its environment says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hera.workflows import models as m

from daintree.argo import names
from daintree.argo.container import STAGE_VOLUMES, stage_variables
from daintree.runners.container import TEMPORARY
from daintree.settings import Settings
from daintree.spec.component import Resources

# Any user but root: what a pod writes is read by the executor, which runs as the same one.
USER = 1000

# The volumes of a pod of the tooling, as STAGE_VOLUMES are a stage's.
TOOLING_VOLUMES = {"temporary": TEMPORARY}


def pod_security() -> m.PodSecurityContext:
    """Of every pod of a Workflow, its executor's containers included: these write the inputs, readable for their owner alone."""
    return m.PodSecurityContext(
        run_as_non_root=True,
        run_as_user=USER,
        run_as_group=USER,
        fs_group=USER,
        seccomp_profile=m.SeccompProfile(type="RuntimeDefault"),
    )


def container_security() -> m.SecurityContext:
    """Of the container that does the work."""
    return m.SecurityContext(
        allow_privilege_escalation=False,
        capabilities=m.Capabilities(drop=["ALL"]),
        read_only_root_filesystem=True,
    )


def volumes() -> list[m.Volume]:
    """The volumes that pods mount, each pod its own."""
    return [m.Volume(name=name, empty_dir=m.EmptyDirVolumeSource()) for name in STAGE_VOLUMES]


def mounts(chosen: Mapping[str, str]) -> list[m.VolumeMount]:
    """Where a container has its volumes."""
    return [m.VolumeMount(name=name, mount_path=path) for name, path in chosen.items()]


def stage_environment(texts: Iterable[str]) -> list[m.EnvVar]:
    """What a stage's container gets, as in every runner; `texts` are its arguments as they are written."""
    return environment(stage_variables(texts))


def environment(variables: Mapping[str, str]) -> list[m.EnvVar]:
    """Variables, sorted by name."""
    return [m.EnvVar(name=name, value=value) for name, value in sorted(variables.items())]


def store_environment(settings: Settings, endpoint: str, region: str) -> list[m.EnvVar]:
    """How the tooling in a pod reaches the store and the cluster's namespace; the keys come from a secret."""
    variables = {
        "DAINTREE_STORE": settings.store,
        "DAINTREE_PREFIX": settings.prefix,
        "DAINTREE_ARGO_NAMESPACE": "{{workflow.namespace}}",
        "HOME": TEMPORARY,
        **({"MINIO_ENDPOINT": endpoint} if endpoint else {}),
        **({"AWS_REGION": region} if region else {}),
    }
    keys = {"MINIO_ACCESS_KEY": names.ACCESS_KEY, "MINIO_SECRET_KEY": names.SECRET_KEY}
    return [*environment(variables), *(_secret(name, key) for name, key in keys.items())]


def _secret(variable: str, key: str) -> m.EnvVar:
    source = m.SecretKeySelector(name=names.STORE_SECRET, key=key)
    return m.EnvVar(name=variable, value_from=m.EnvVarSource(secret_key_ref=source))


def resources(wanted: Resources) -> m.ResourceRequirements | None:
    """Requests that are the limits as well, so that a stage gets what it may use; None for a stage that says nothing."""
    amounts: dict[str, m.Quantity] = {}
    if wanted.cpu:
        amounts["cpu"] = m.Quantity(root=_cores(wanted.cpu))
    if wanted.memory:
        amounts["memory"] = m.Quantity(root=wanted.memory)
    return m.ResourceRequirements(limits=amounts, requests=amounts) if amounts else None


def _cores(cpu: float) -> str:
    """Kubernetes counts in thousandths of a core, and takes no smaller part."""
    return f"{cpu:g}" if float(cpu).is_integer() else f"{max(1, round(cpu * 1000))}m"
