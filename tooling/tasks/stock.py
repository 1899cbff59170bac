"""doit's own commands that read dodo.py, made to find it from any directory of the project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from doit.cmd_clean import Clean as DoitClean
from doit.cmd_forget import Forget as DoitForget
from doit.cmd_info import Info as DoitInfo

from tooling.errors import UsageError
from tooling.project import find_project


def at_project(params: Any) -> Any:
    """The parameters, with dodo.py and doit's database of the project around the current directory."""
    if params["dodoFile"] == "dodo.py":
        try:
            root = find_project(Path.cwd())
        except UsageError:
            return params
        params["dodoFile"] = str(root / "dodo.py")
        params["dep_file"] = str(root / params["dep_file"])
    return params


class Clean(DoitClean):  # type: ignore[misc]
    """doit clean; the artifact store is not touched."""

    def execute(self, params: Any, args: Any) -> Any:
        """As doit does, at the project."""
        return super().execute(at_project(params), args)


class Forget(DoitForget):  # type: ignore[misc]
    """doit forget; the artifact store is not touched."""

    def execute(self, params: Any, args: Any) -> Any:
        """As doit does, at the project."""
        return super().execute(at_project(params), args)

    def _execute(self, forget_sub: bool, forget_disable_default: bool, forget_all: bool) -> Any:
        # Without names and without default tasks doit itself ends in a traceback.
        everything = self.sel_tasks is None and not forget_disable_default
        return super()._execute(forget_sub, forget_disable_default, forget_all or everything)


class Info(DoitInfo):  # type: ignore[misc]
    """doit info."""

    def execute(self, params: Any, args: Any) -> Any:
        """As doit does, at the project."""
        return super().execute(at_project(params), args)
