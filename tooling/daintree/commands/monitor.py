"""`doit monitor`: what a service has served, against what its model was trained on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from daintree.commands.command import DaintreeCommand, exit_code_of, option, shared
from daintree.components import discover_components, read_description, read_versions
from daintree.components.snapshot import make_snapshot
from daintree.errors import (
    ArtifactDamaged,
    DaintreeError,
    StageFailed,
    StoreError,
    UsageError,
    nearest,
)
from daintree.pipeline.addresses import Address, check_name, find_run
from daintree.runners import open_runner
from daintree.runners.runner import Job, Outcome
from daintree.settings import Settings, expand_home
from daintree.store.records import RunManifest, index_record_of
from daintree.store.store import Store, open_store
from daintree.terminal import say

# Files of a monitor's output, for people and for programs.
REPORT_TEXT, REPORT_JSON = "report.txt", "report.json"
# A monitor ends with it when something is to be looked at: neither success nor an error, after which nothing is known.
ALERT = 2


class Serve(DaintreeCommand):
    """Serves the output of a pipeline's stage in the environment of the component that serves it."""

    doc_usage = (
        "PIPELINE[@NAME] | COMPONENT[@NAME] [--run RUN] [--port N] [--set parameter=value …]"
    )
    doc_description = (
        "The component is the one whose component.yaml says `serves: PIPELINE:STAGE`. It serves that stage's latest run, "
        "and a reload looks for a newer one; with @NAME the run that has the name, and a reload follows the name; with --run that run alone. It ends with Ctrl-C or SIGTERM, once "
        "what has been asked is answered."
    )
    cmd_options = (
        option("run", "the run to serve, by its id or its beginning (default: the latest)"),
        option("host", "the address to listen on (default: 127.0.0.1)"),
        option("port", "the port to listen on (default: 8000; 0: a free one)"),
        option("output", "where requests are logged (default: output/serve/PIPELINE)"),
        option("set", "parameter=value of the component; may be repeated", type=list),
    )
    names = (1, None)

    def work(self, options: Mapping[str, Any], names: list[str]) -> int:
        arguments = [f"--{name}={options[name]}" for name in ("host", "port") if options[name]]
        arguments += assignments((*options["set"], *names[1:]))
        target, name = _named(names[0], options["run"])
        service = find_attached(self.root, "serves", target)
        default = request_log(self.root, service)
        output = Path(_path(options["output"])) if options["output"] else default
        store = open_store(self.settings)
        model = model_run(store, service, options["run"], name)
        # A reload looks up PIPELINE:STAGE[@NAME] anew.
        served = model.run if options["run"] else str(service.address("", name))
        arguments = ["--store", store.url, *arguments]
        try:
            outcome = run_attached(self.settings, service.component, served, output, arguments)
        except KeyboardInterrupt as stopped:
            say("stopped")
            return exit_code_of(stopped)
        return outcome.exit_code if outcome.exit_code >= 0 else 128 - outcome.exit_code


def _named(text: str, run: str) -> tuple[str, str]:
    """Target that is served or monitored, and the name of the run, "" for none. Raises UsageError where --run says another."""
    target, at, name = text.partition("@")
    if at and run:
        raise UsageError(f"{text} and --run: which of them?", hint="give one")
    if at:
        check_name(name)
    return target, name


def assignments(texts: Iterable[str]) -> list[str]:
    """`parameter=value` texts as the component's command line takes them. Raises UsageError."""
    arguments = []
    for text in texts:
        parameter, equals, value = text.partition("=")
        if not (parameter and equals):
            raise UsageError(
                f"--set {text!r} cannot be read",
                hint="write --set parameter=value, e.g. --set decay=0.5",
            )
        arguments.append(f"--{parameter}={value}")
    return arguments


# Parameters of every monitor, in components/lib/serving/monitor.yaml: their help and defaults are there.
LIMITS = (
    option("hours", "judge the requests of so many hours up to now (default: all in the log)"),
    option("min_requests", "judge no fewer requests than this (default: 200)"),
    option("max_unknown", "alert above this share of unknown items (default: 0.1)"),
    option("max_psi", "alert above this stability index of what was asked with (default: 0.25)"),
    option("max_psi_answered", "the same for the answers (default: not judged)"),
)


class Monitor(DaintreeCommand):
    """Runs the component that monitors a pipeline's service, and prints its report."""

    doc_usage = (
        "PIPELINE[@NAME] | COMPONENT[@NAME] [--log DIR | --url URL] [--max-psi N …] [--json]"
    )
    doc_description = (
        "The component is the one whose component.yaml says `monitors: PIPELINE:STAGE`. It reads the request log, or a "
        "running service's counters, and the training data of the model that answered last, or of the run that has the NAME. The exit code is 2 for an "
        "alert, which is no error: the report is there. It is 1 where nothing can be judged, as with too few requests."
    )
    cmd_options = (
        option("log", "where requests were logged (default: where doit serve has them)"),
        option("url", "the address of a running service, to read its counters instead"),
        option(
            "run", "judge the answers of this run's model (default: of the one that answered last)"
        ),
        *LIMITS,
        option("output", "keep report.txt and report.json in this directory"),
        option("set", "parameter=value of the component; may be repeated", type=list),
        *shared("json"),
    )
    names = (1, None)

    def work(self, options: Mapping[str, Any], names: list[str]) -> int:
        """Judge and print; the exit code is 2 for an alert. Raises UsageError for options that exclude each other, StageFailed for a monitor that ends otherwise."""
        target, name = _named(names[0], options["run"])
        monitored = find_attached(self.root, "monitors", target)
        if options["log"] and options["url"]:
            raise UsageError("--log and --url: which of them?", hint="give one")
        log = _path(options["log"]) if options["log"] else str(request_log(self.root, monitored))
        arguments = [
            f"--served={options['url'] or log}",
            *(f"--{o['long']}={options[o['name']]}" for o in LIMITS if options[o["name"]]),
            *assignments((*options["set"], *names[1:])),
        ]
        store = open_store(self.settings)
        address = monitored.address(options["run"], name)
        # Of PIPELINE:STAGE it takes the run that answered last.
        model = find_run(store, address).run if options["run"] or name else str(address)
        arguments = ["--store", store.url, *arguments]
        with tempfile.TemporaryDirectory(prefix="daintree-") as scratch:
            output = Path(_path(options["output"]) if options["output"] else scratch)
            code = run_attached(
                self.settings, monitored.component, model, output, arguments
            ).exit_code
            if code == DaintreeError.exit_code:
                # The monitor itself has said why it cannot judge.
                return code
            if code not in (0, ALERT):
                raise StageFailed(f"{monitored.component} ended with exit code {code}")
            reports = [_report(monitored, output / name) for name in (REPORT_TEXT, REPORT_JSON)]
        print(reports[options["json"]].rstrip("\n"))
        return code


def _report(monitored: Attached, file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except FileNotFoundError:
        raise StageFailed(
            f"{monitored.component} did not write {file.name}",
            hint="a monitor writes a report for people and one for programs",
        ) from None


def _path(text: str) -> str:
    """Absolute form of a path, for the component, which runs in a directory of its own; a URL as it stands."""
    return text if "://" in text else str(Path(expand_home(text)).absolute())


# In a container a service has to publish its port, which no stage does: `docker run -p` does it.
RUNNER = "local"

# The key of component.yaml that attaches a component to a stage.
Role = Literal["serves", "monitors"]
WORDS: dict[Role, str] = {"serves": "service", "monitors": "monitor"}


class Attached(msgspec.Struct, frozen=True):
    """A component, and the stage whose output it serves or monitors."""

    component: str
    pipeline: str
    stage: str

    def address(self, run: str = "", name: str = "") -> Address:
        """The address of this run, or of the stage's that has the `name`; without either of the stage's latest."""
        return Address(run) if run else Address(self.pipeline, self.stage, name)


def attached(root: Path, role: Role) -> list[Attached]:
    """The components with this role in their component.yaml, sorted by name. Raises SpecError."""
    components = []
    for name in discover_components(root):
        target = getattr(read_description(root, name), role)
        if target:
            pipeline, _, stage = target.partition(":")
            components.append(Attached(name, pipeline, stage))
    return components


def find_attached(root: Path, role: Role, name: str) -> Attached:
    """The component of this name with this role, or the only one of the pipeline, or PIPELINE:STAGE, of this name.

    Raises UsageError where there is none or more than one.
    """
    known = attached(root, role)
    word = WORDS[role]
    matches = [e for e in known if name in (e.component, e.pipeline, f"{e.pipeline}:{e.stage}")]
    if not matches:
        names = sorted({each for a in known for each in (a.component, a.pipeline)})
        raise UsageError(
            f"there is no {word} of {name!r}",
            hint=nearest(name, names) or f"a {word} names what it {role} in its component.yaml",
        )
    if len(matches) > 1:
        named = ", ".join(each.component for each in matches)
        raise UsageError(f"{name} has several {word}s: {named}", hint="name the one you mean")
    return matches[0]


def run_attached(
    settings: Settings, component: str, input: str, output: Path, arguments: Sequence[str]
) -> Outcome:
    """Run such a component to its end in its environment on this machine; its lines go to stderr.

    `output` is made if it is missing. When this call is left by an exception, an interrupt too, the component is
    asked to end, and is gone. Raises as making its environment does.
    """
    runner = open_runner(RUNNER, settings)
    version = read_versions(
        settings.root, [component], platform=settings.platform, bases=settings.bases
    )[component]
    prepared = runner.prepare(version, lambda: make_snapshot(version, settings.snapshots), say)
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="daintree-") as name:
        scratch = Path(name)
        job = Job(
            label=component,
            component=component,
            version=version.digest,
            run="",
            prepared=prepared,
            arguments=tuple(arguments),
            input=input,
            places={},
            output=output,
            scratch=scratch,
            log=scratch / "log.txt",
            network=True,
            env=version.spec.env,
            # The store that it reads may be a bucket.
            object_store=any(argument.startswith("s3://") for argument in arguments),
        )
        return runner.execute(job, say)


def model_run(store: Store, service: Attached, run: str, name: str = "") -> RunManifest:
    """The run to be served: the one of this id, the one that has the `name`, or else the stage's latest; its bytes are verified.

    Raises UsageError where there is none that succeeded, StoreError for one that is not whole.
    """
    stage = service.address()
    if not (run or name) and store.latest_run(service.pipeline, service.stage) is None:
        raise UsageError(f"no run of {stage} is recorded", hint=f"doit run {service.pipeline}")
    model = find_run(store, service.address(run, name))
    if model.result != "succeeded":
        raise UsageError(
            f"run {model.run} of {stage} failed: {model.failure}",
            hint=f"doit run {service.pipeline}",
        )
    try:
        store.check(index_record_of(model), thorough=True)
    except ArtifactDamaged as damage:
        raise StoreError(
            f"the output of run {model.run}: {damage.message}",
            hint=f"doit run {service.pipeline} repairs it",
        ) from None
    return model


def request_log(root: Path, service: Attached) -> Path:
    """The directory in which `doit serve` has the requests logged by default."""
    return root / "output" / "serve" / service.pipeline
