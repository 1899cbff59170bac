"""The argo runner: plans as every runner does; what it executes is a whole pipeline, in a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn

from daintree.components import ComponentVersion
from daintree.errors import UsageError
from daintree.runners.docker import ENVIRONMENT_CLASS
from daintree.runners.runner import Job, Outcome, Prepared, Shell


class ArgoRunner:
    """Stages as pods of a Workflow. They run the components' images, so their results are those of the docker runner."""

    @property
    def name(self) -> str:
        return "argo"

    @property
    def environment_class(self) -> str:
        return ENVIRONMENT_CLASS

    def refusal(self, version: ComponentVersion) -> None:
        return None

    def prepare(
        self,
        version: ComponentVersion,
        snapshot: Callable[[], object],
        announce: Callable[[str], None],
    ) -> Prepared:
        self._refuse()

    def execute(self, job: Job, on_line: Callable[[str], None]) -> Outcome:
        self._refuse()

    def command(self, job: Job) -> tuple[list[str], Mapping[str, str]]:
        self._refuse()

    def shell(self, job: Job, *, terminal: bool) -> Shell:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise UsageError(
            "the runner argo takes a whole pipeline into a cluster, and no stage on this machine",
            hint="doit submit PIPELINE; or --runner docker, whose results are the same",
        )
