"""`doit argo`: what a pipeline misses, as an Argo Workflow."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daintree.tasks.command import JSON_OPTION, DaintreeCommand, option, print_json
from daintree.tasks.names import COMMANDS
from daintree.tasks.ordered import NAMESPACE, ordered, say
from daintree.tasks.run import FORCE, SET, SOURCE
from daintree.tasks.standing import STANDING_OPTIONS, is_standing, standing


class Argo(DaintreeCommand):
    """Writes a Workflow of the stages whose output the shared store does not have."""

    doc_purpose = COMMANDS["argo"]
    doc_usage = (
        "PIPELINE [--out FILE] [--source s3://…] [--set stage.parameter=value …] "
        "[--schedule 'CRON' [--timezone ZONE] | --on-event | --template]"
    )
    doc_description = (
        "Plans against the shared store; each stage that is not a hit becomes a pod. What the pods read is put into the store "
        "first. Without --out the manifest is printed. Where every stage is a hit, nothing is written. With --schedule or "
        "--on-event it is a manifest that stays in the cluster: it plans there, and submits what is missing then."
    )
    cmd_options = (
        option("out", "write the manifest to this file"),
        SOURCE,
        SET,
        FORCE,
        NAMESPACE,
        *STANDING_OPTIONS,
        JSON_OPTION,
    )
    names = (1, 1)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        """Plan, hand over, write."""
        if is_standing(options):
            self._write_standing(names[0], options)
        else:
            self._write_workflow(names[0], options)

    def _write_workflow(self, pipeline: str, options: Mapping[str, Any]) -> None:
        from daintree.argo.hand_over import hand_over
        from daintree.report.argo import order_as_json, order_summary

        order = ordered(self.settings, pipeline, options)
        namespace = options["namespace"] or self.settings.argo_namespace
        if order.submission.stages:
            text = self._text(order, namespace)
            hand_over(order, say)
            self._write(text, options)
        if options["json"]:
            print_json(order_as_json(order, namespace, options["out"]))
        else:
            print(order_summary(order), file=sys.stderr)

    def _write_standing(self, pipeline: str, options: Mapping[str, Any]) -> None:
        from daintree.argo.yaml_text import manifest_text
        from daintree.report.standing import standing_as_json, standing_summary

        written = standing(self.settings, pipeline, options)
        self._write(manifest_text(written.documents, written.comments), options)
        if options["json"]:
            print_json(standing_as_json(pipeline, written.documents, options["out"]))
        else:
            print(standing_summary(pipeline, written.documents), file=sys.stderr)

    def _text(self, order: Any, namespace: str) -> str:
        from daintree.report.argo import order_comments

        # First, since it asks the store: hera is still being imported meanwhile.
        comments = order_comments(order, namespace)
        from daintree.argo.manifest import workflow_manifest
        from daintree.argo.yaml_text import manifest_text
        from daintree.tasks.ordered import access_of

        manifest = workflow_manifest(order.submission, access_of(self.settings, namespace))
        return manifest_text([manifest], comments)

    def _write(self, text: str, options: Mapping[str, Any]) -> None:
        if options["out"]:
            write_whole(Path.cwd() / options["out"], text)
        elif not options["json"]:
            sys.stdout.write(text)


def write_whole(file: Path, text: str) -> None:
    """Write a file whole or not at all. Raises OSError."""
    partial = file.with_name(f".{file.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(file)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
