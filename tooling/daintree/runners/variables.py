"""The environment variables that a stage gets, as a process of this machine and in a container."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from daintree.runners.interpreter import bytecode_directory

_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
_NAMES = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME"),
        *_PROXIES,
        *(name.upper() for name in _PROXIES),
        *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"),
        *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"),
    )
)
_PREFIXES = (
    *("AWS_", "MINIO_", "SSL_"),
    *("CUDA_", "NVIDIA_", "NCCL_", "HIP_", "HSA_", "ROCR_", "ROCM_", "ONEAPI_", "SYCL_", "ZE_"),
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "BLIS_", "NUMEXPR_", "VECLIB_"),
    *("HF_", "JAX_", "KERAS_", "TF_", "TORCH_", "PYTORCH_", "XLA_"),
)

_FIXED = {
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PYTHONUNBUFFERED": "1",
}


_STORE_PREFIXES = ("AWS_", "MINIO_")


def stage_variables(outside: Mapping[str, str], python: Path, scratch: Path) -> dict[str, str]:
    """The variables of a stage run by an environment's `python`, `scratch` for temporary files.

    A list of what passes, not of what does not: the same component also runs in a container, where
    nothing of the user's shell is, and no variable is part of a stage key; so what passes says how
    to reach the machine (network, object store, accelerators, threads, caches), not what to
    compute. A variable that a component needs beyond that belongs to its parameters. Locale, time
    zone and hash seed are fixed.

    The result holds the user's credentials for the object store: never to be shown or recorded
    whole.
    """
    passed = {
        name: value
        for name, value in outside.items()
        if name in _NAMES or name.startswith(_PREFIXES)
    }
    search = [str(python.parent), *filter(None, [passed.get("PATH", os.defpath)])]
    return {
        **passed,
        **_FIXED,
        "PATH": os.pathsep.join(search),
        "TMPDIR": str(scratch),
        # Bytecode beside the sources would change the snapshot; none at all would slow every import
        # down.
        "PYTHONPYCACHEPREFIX": str(bytecode_directory(python)),
    }


def container_variables(
    outside: Mapping[str, str], *, home: str, scratch: str, network: bool, object_store: bool
) -> dict[str, str]:
    """The variables of a stage in a container, whose paths `home` and `scratch` are.

    Nothing of the user's shell is in there, but the user's name; with a `network` also the proxies that lead
    out of it, and only for a stage that reads an `object_store` the means to reach that: these are the user's
    credentials, never to be shown or recorded.
    """
    passed = {
        name: value
        for name, value in outside.items()
        if (network and name.lower() in _PROXIES)
        or (object_store and name.startswith(_STORE_PREFIXES))
    }
    user = outside.get("USER") or outside.get("LOGNAME") or "stage"
    return {**passed, **_FIXED, "HOME": home, "USER": user, "LOGNAME": user, "TMPDIR": scratch}
