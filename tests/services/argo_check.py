"""The checker that says whether Argo takes a manifest: a script and a schema beside the project."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from tests.services.availability import unavailable

CHECKER = Path(__file__).parents[2].parent / "shared/argo/check.py"


@functools.cache
def checker() -> ModuleType:
    """The checker, which is a script; the test that asks is skipped where there is none."""
    if not CHECKER.is_file():
        unavailable(f"there is no {CHECKER}, which checks manifests against Argo's schema")
    spec = importlib.util.spec_from_file_location("argo_check_script", CHECKER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def faults(document: dict[str, Any]) -> list[str]:
    """What the checker finds in a Workflow, a WorkflowTemplate or a CronWorkflow; none where it is sound."""
    return list(checker().faults(document))


def read_documents(text: str) -> list[dict[str, Any]]:
    """The documents of a manifest's text."""
    return [document for document in yaml.safe_load_all(text) if document is not None]
