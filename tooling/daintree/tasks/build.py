"""`doit build`: images of components, built where they are missing, and pushed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from daintree.build.build import Build
from daintree.build.memory import Seen
from daintree.build.protocol import Request, Result
from daintree.errors import UsageError
from daintree.image.builder import EngineBuilder
from daintree.image.registry import open_registry
from daintree.report.build import build_as_json, build_table, complaints, progress
from daintree.settings import Settings
from daintree.spec.parsed import remember_documents
from daintree.tasks.command import JSON_OPTION, DaintreeCommand, option, print_json
from daintree.tasks.names import COMMANDS
from daintree.version import discover_images


class BuildImages(DaintreeCommand):
    """Builds the images of components whose version has none yet."""

    doc_purpose = COMMANDS["build"]
    doc_usage = "[COMPONENT …] [--base REF] [--push] [--all] [--jobs N] [--dry-run] [--json]"
    doc_description = (
        "An image is missing when the registry (without one, the Docker engine) has no tag of the component's version. "
        "What is there already is left alone, and no engine is needed to find that out."
    )
    cmd_options = (
        option("base", "only the components that differ since this commit"),
        option("push", "push to the registry; refuses what is not committed", type=bool),
        option("all", "build anew what is there already, too", type=bool),
        option(
            "jobs", "how many are built at the same time (default: the setting `jobs`)", type=int
        ),
        option("dry_run", "only say what would be built", type=bool),
        JSON_OPTION,
    )
    names = (0, None)

    def work(self, options: Mapping[str, Any], names: list[str]) -> int:
        """Build, and print what became of each component; exit code 1 when one has failed."""
        settings = self.settings
        asked = [name.removeprefix("components/").rstrip("/") for name in names]
        request = Request(
            names=tuple(asked or discover_images(settings.root)),
            base=options["base"],
            push=options["push"],
            everything=options["all"],
            dry_run=options["dry_run"],
            jobs=_jobs(options["jobs"], settings),
        )
        results = _build(settings, request)
        if options["json"]:
            print_json(build_as_json(results))
        else:
            print("\n".join(build_table(results)))
        errors = complaints(results)
        print("\n".join(errors), end="\n" if errors else "", file=sys.stderr)
        return 1 if errors else 0


def _build(settings: Settings, request: Request) -> list[Result]:
    """Build in the project that the settings are of, with progress on stderr. Raises as Build.run does."""
    remember_documents(settings.documents)
    width = max(map(len, request.names), default=0)
    return Build(
        settings=settings,
        request=request,
        registry=open_registry(settings.registry, plain_http=settings.registry_plain_http),
        builder=EngineBuilder(),
        listener=progress(width, sys.stderr),
        seen=Seen(settings.images),
        meanwhile=_import_http if settings.registry else None,
    ).run()


def _import_http() -> None:
    """What the first request to a registry imports otherwise."""
    for name in ("http.client", "encodings.idna"):
        import_module(name)


def _jobs(given: int, settings: Settings) -> int:
    if given < 0:
        raise UsageError(f"--jobs {given}: expected a number from 1 on")
    return given or settings.jobs
