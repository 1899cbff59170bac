"""`doit submit`, `doit logs` and `doit cancel`: a pipeline's Workflow in the cluster, from its beginning to its end."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from daintree.errors import ClusterError, ClusterMissing
from daintree.report.text import say
from daintree.spec.pipeline_reader import pipeline_files
from daintree.tasks.command import JSON_OPTION, DaintreeCommand, option, print_json
from daintree.tasks.names import COMMANDS
from daintree.tasks.ordered import NAMESPACE, access_of, ordered, require_extra
from daintree.tasks.run import FORCE, SET, SOURCE

if TYPE_CHECKING:
    from daintree.argo.order import Order
    from daintree.argo.submit import Submitted
    from daintree.cluster.protocol import Cluster, Object


class _ClusterCommand(DaintreeCommand):
    """What asks the cluster."""

    def _cluster(self) -> Cluster:
        require_extra()
        from daintree.cluster.connect import open_cluster

        return open_cluster()

    def _namespace(self, options: Mapping[str, Any]) -> str:
        return str(options["namespace"] or self.settings.argo_namespace)

    def _workflow(self, cluster: Cluster, namespace: str, name: str) -> Object:
        """The Workflow of this name, or the newest of the pipeline of this name."""
        from daintree.argo.workflows import find_workflow

        pipeline = name in pipeline_files(self.root)
        return find_workflow(cluster, namespace, name, pipeline=pipeline)


class Submit(_ClusterCommand):
    """Makes the Workflow of what a pipeline misses in the cluster, or attaches to the one that is there."""

    doc_purpose = COMMANDS["submit"]
    doc_usage = "PIPELINE [--watch] [--source s3://…] [--set stage.parameter=value …]"
    doc_description = (
        "Plans as `doit argo` does, and hands the Workflow to the cluster of the kubeconfig's current context, or to the one "
        "that this is a pod of. The same plan submitted twice is one Workflow; after one that failed comes another attempt. "
        "With --watch, each change of a stage is a line, the exit code is the Workflow's (0 or 1), and Ctrl-C leaves it running."
    )
    cmd_options = (
        option("watch", "wait for the Workflow's end, and show its stages", type=bool),
        SOURCE,
        SET,
        FORCE,
        NAMESPACE,
        JSON_OPTION,
    )
    names = (1, 1)

    def work(self, options: Mapping[str, Any], names: list[str]) -> int:
        """Plan, submit, and watch where that is asked for."""
        from daintree.report.argo import order_summary
        from daintree.report.workflow import submitted_line

        cluster, namespace = self._cluster(), self._namespace(options)
        order = ordered(self.settings, names[0], options)
        say(order_summary(order))
        submitted = None
        if order.submission.stages:
            submitted = self._submit(cluster, namespace, order)
            say(submitted_line(names[0], submitted, namespace))
        if options["json"]:
            print_json(_as_json(order, submitted, namespace))
            sys.stdout.flush()
        if submitted is None or not options["watch"]:
            return 0
        return _watch(cluster, namespace, submitted.name, options)

    def _submit(self, cluster: Cluster, namespace: str, order: Order) -> Submitted:
        from daintree.argo.hand_over import hand_over
        from daintree.argo.manifest import workflow_manifest
        from daintree.argo.submit import submit

        access = access_of(self.settings, namespace)
        return submit(
            cluster,
            namespace,
            order.submission,
            lambda attempt: workflow_manifest(order.submission, access, attempt),
            lambda: hand_over(order, say),
        )


class Logs(_ClusterCommand):
    """Prints what the pods of a Workflow say."""

    doc_purpose = COMMANDS["logs"]
    doc_usage = "PIPELINE[:STAGE] | WORKFLOW[:STAGE] [--follow]"
    doc_description = (
        "Of a pipeline's newest Workflow, or of the Workflow of that name. With a stage, its lines are printed as they are; the stage "
        "`record` is the exit handler. Pods of a Workflow that succeeded are removed: what they said is in `doit show`."
    )
    cmd_options = (
        option("follow", "go on printing until what is followed has ended", type=bool, short="f"),
        NAMESPACE,
    )
    names = (1, 1)

    def work(self, options: Mapping[str, Any], names: list[str]) -> int:
        """Print; 130 where Ctrl-C ended the following."""
        from daintree.argo.stage_logs import check_stage, follow_logs, read_logs
        from daintree.report.workflow import LogLines

        cluster, namespace = self._cluster(), self._namespace(options)
        name, _, stage = names[0].partition(":")
        workflow = self._workflow(cluster, namespace, name)
        if stage:
            check_stage(workflow, stage)
        show = LogLines(workflow, alone=bool(stage)).show
        if not options["follow"]:
            read_logs(cluster, namespace, workflow, stage, show)
            return 0
        try:
            follow_logs(cluster, namespace, workflow["metadata"]["name"], stage, show)
        except KeyboardInterrupt as stopped:
            return _signalled(stopped)
        return 0


class Cancel(_ClusterCommand):
    """Stops a Workflow; what has succeeded is recorded."""

    doc_purpose = COMMANDS["cancel"]
    doc_usage = "PIPELINE | WORKFLOW"
    doc_description = (
        "Stops a pipeline's newest Workflow, or the Workflow of that name, as Argo's own stop does: its pods end, and its exit "
        "handler records the stages that have succeeded."
    )
    cmd_options = (NAMESPACE,)
    names = (1, 1)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        """Stop it."""
        from daintree.argo.workflows import stop

        cluster, namespace = self._cluster(), self._namespace(options)
        workflow = self._workflow(cluster, namespace, names[0])
        stop(cluster, namespace, workflow)
        say(f"stopping the Workflow {workflow['metadata']['name']}: what has succeeded is recorded")


def _watch(cluster: Cluster, namespace: str, name: str, options: Mapping[str, Any]) -> int:
    """Show the Workflow's stages to its end; 0, or 130 or 143 where a signal ended the watching alone.

    Raises StageFailed where it did not succeed.
    """
    from daintree.argo.endings import check_ending
    from daintree.argo.submit import follow
    from daintree.report.workflow import WorkflowProgress

    progress = WorkflowProgress()
    try:
        workflow = follow(cluster, namespace, name, progress.seen)
    except KeyboardInterrupt as stopped:
        _goes_on(name, namespace, options)
        return _signalled(stopped)
    except ClusterMissing:
        raise
    except ClusterError:
        _goes_on(name, namespace, options)
        raise
    check_ending(workflow)
    progress.ended(workflow)
    return 0


def _goes_on(name: str, namespace: str, options: Mapping[str, Any]) -> None:
    """Say that only the watching has ended."""
    there = f" --namespace {namespace}" if options["namespace"] else ""
    say(f"the Workflow {name} goes on without being watched")
    say(f"to come back: {shlex.join(['doit', *sys.argv[1:]])}")
    say(f"to stop it: doit cancel {name}{there}")


def _signalled(stopped: KeyboardInterrupt) -> int:
    """The exit code after Ctrl-C or SIGTERM."""
    return 128 + int(getattr(stopped, "number", signal.SIGINT))


def _as_json(order: Order, submitted: Submitted | None, namespace: str) -> dict[str, Any]:
    from daintree.report.argo import order_as_json
    from daintree.report.workflow import submitted_as_json

    described = order_as_json(order, namespace, "")
    del described["file"]
    return {**described, **submitted_as_json(submitted, namespace)}
