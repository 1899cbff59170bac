"""How the cluster's API is reached and as whom: a kubeconfig as kubectl reads it, else the pod's own service account."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daintree.errors import ClusterError

KUBECONFIG = "KUBECONFIG"
IN_CLUSTER = "KUBERNETES_SERVICE_HOST"
DEFAULT = "~/.kube/config"
HINT = "`kubectl config current-context` names the cluster that it uses; KUBECONFIG names its file"


def read_configuration(environ: Mapping[str, str] | None = None) -> Any:
    """The official client's configuration, for the kubeconfig's current context.

    Raises ClusterError where neither there is a kubeconfig nor is this a pod, and for one that cannot be used.
    """
    environ = os.environ if environ is None else environ
    named = environ.get(KUBECONFIG, "")
    files = [file for file in (named or DEFAULT).split(os.pathsep) if file]
    found = [file for file in files if Path(file).expanduser().exists()]
    if not found and not environ.get(IN_CLUSTER):
        raise ClusterError(
            f"no Kubernetes cluster is configured: there is no {' and no '.join(files)}, and this is no pod of one",
            hint="get a kubeconfig from whoever runs the cluster, and name it in KUBECONFIG",
        )
    return _load(os.pathsep.join(found))


def _load(files: str) -> Any:
    """The configuration in these files, of the pod where there are none."""
    import yaml
    from kubernetes.client import Configuration
    from kubernetes.config import ConfigException, load_incluster_config, load_kube_config

    configuration = Configuration()
    where = f"the kubeconfig {files}" if files else "the pod's service account"
    try:
        if files:
            load_kube_config(files, client_configuration=configuration)
        else:
            load_incluster_config(configuration)
    except (ConfigException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClusterError(f"{where} cannot be used: {_said(error)}", hint=HINT) from None
    except yaml.YAMLError:
        # The parser's words would quote the file, which holds secrets.
        raise ClusterError(f"{where} is not YAML", hint=HINT) from None
    if not str(configuration.host).startswith(("http://", "https://")):
        raise ClusterError(f"{where}: the server {configuration.host!r} is no URL", hint=HINT)
    return configuration


def _said(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__
