"""Site: the pages of a project by their paths, the same for files and for a server; every link is relative.

index.html                                       the project
pipelines/NAME/{index,runs,metrics,compare}.html a pipeline
runs/RUN/{index,output-PAGE,file-NUMBER}.html    a run, its output's list of files, one of them
static/…                                         stylesheet, scripts
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from daintree.digest import short
from daintree.errors import ArtifactDamaged, DaintreeError, StoreError, UsageError
from daintree.pages import graph, runs
from daintree.pages.project import Fault, PipelineView, Project
from daintree.pipeline.addresses import refuse_collected
from daintree.pipeline.run_diff import difference, number
from daintree.spec.component import word
from daintree.store.records import FileEntry, RunManifest, short_run
from daintree.store.run_index import Query as RunQuery
from daintree.terminal import count, duration, printable, size, streamed

HERE = Path(__file__).parent
STATIC = HERE / "static"
PLOTLY = "plotly.min.js"
# No script and no style stands in a page itself, and nothing comes from elsewhere.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'"
)
# Plotly sets styles by itself; on its page alone a style may stand in an element.
PLOTLY_POLICY = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
FILES_A_PAGE = 500
FILES_BESIDE = 12
# Each stage's latest runs, whose curves are shown; all these; those to choose from; chosen ones at most.
MOST_CURVES, MOST_RECORDS, CHOICES, MOST_CHOSEN = 5, 200, 40, 20
# Runs of a pipeline that are new to the index, as the home page reads them.
NEWEST = 32
# Of a report: runs of a pipeline, a file that a page carries to be downloaded, and what marks a directory as one.
MOST_RUNS = 100
CARRIED_BYTES = 1 << 20
MARKER = ".daintree-report"

Query = Mapping[str, Sequence[str]]


class Site:
    """The project's pages. `live` pages follow what runs; `included` says which pages there are, of a report (None: all)."""

    def __init__(self, project: Project, *, live: bool) -> None:
        self.project, self.live = project, live
        self.included: Collection[str] | None = None
        self.images: Mapping[str, str] | None = None
        self.pipelines: Sequence[str] | None = None
        self._environment = _environment()

    def render(self, path: str, query: Query | None = None) -> str:
        """The page at a path as HTML. Raises UsageError where there is none, StoreError and others as what it shows does."""
        query = query or {}
        match path.split("/"):
            case ["index.html"]:
                return self._home(path)
            case ["pipelines", name, page]:
                self.project.check(name)
                pages = {
                    "index.html": self._pipeline,
                    "runs.html": self._runs,
                    "metrics.html": self._metrics,
                    "compare.html": self._compare,
                }
                if page in pages:
                    return pages[page](path, name, query)
            case ["runs", name, page]:
                run = self.run(name)
                if page == "index.html":
                    return self._run(path, run)
                if match := re.fullmatch(r"output-([1-9]\d{0,5})\.html", page):
                    return self._output(path, run, int(match[1]))
                if match := re.fullmatch(r"file-(\d{1,7})\.html", page):
                    return self._file(path, run, int(match[1]))
        raise UsageError(f"there is no page {path}")

    def fault(self, path: str, error: DaintreeError) -> str:
        """The page that says what is wrong instead of the page at `path`."""
        return self._template("fault.html", path, fault=Fault(error.message, error.hint))

    def run(self, name: str) -> RunManifest:
        """The run with this id. Raises UsageError where there is none."""
        run = self.project.store.records.find_run(name)
        if run is None or run.run != name:
            raise UsageError(f"there is no run {name!r}", hint="`doit history` lists the runs")
        return run

    def entry(self, run: RunManifest, number: int) -> FileEntry:
        """The file of a run's output at a place in its list. Raises UsageError where there is none."""
        files = run.output.files if run.output else ()
        if number >= len(files):
            raise UsageError(f"run {run.run} has no file of number {number}")
        return files[number]

    def _home(self, path: str) -> str:
        project = self.project
        pipelines = [self._planned(n) for n in self.pipelines or project.pipelines()]
        components, component_fault = _unless_failing(project.components, [])
        names, names_fault = _unless_failing(project.names, [])
        return self._template(
            "home.html",
            path,
            pipelines=pipelines,
            components=components,
            component_fault=component_fault,
            names=names,
            names_fault=names_fault,
            images=self.images,
        )

    def _planned(self, name: str) -> PipelineView:
        try:
            # The home page shows the last run alone: it does not wait for a history that nobody has read yet.
            return self.project.pipeline(name, newest=NEWEST)
        except DaintreeError as error:
            return PipelineView(name=name, fault=Fault(error.message, error.hint))

    def _pipeline(self, path: str, name: str, query: Query) -> str:
        view = self.project.pipeline(name)
        if isinstance(view.fault, Fault) and not view.stages:
            raise StoreError(view.fault.message, hint=view.fault.hint)
        current, fault = _unless_failing(lambda: self.project.running(name), [])
        return self._template(
            "pipeline.html",
            path,
            pipeline=view,
            picture=graph.picture(view),
            box_width=graph.WIDTH,
            running=current,
            fault=view.fault or fault,
            store=self.project.store.url,
        )

    def _runs(self, path: str, name: str, query: Query) -> str:
        words = {key: values[0][:200] for key, values in query.items() if values}
        with self.project.index(name) as index:
            table = runs.run_table(index, name, words)
        return self._template("runs.html", path, name=name, table=table)

    def _metrics(self, path: str, name: str, query: Query) -> str:
        every = RunQuery(pipeline=name, measured=True, limit=0)
        with self.project.index(name) as index:
            charts = runs.metric_charts(index.find(every).runs, index.varied_parameters(every))
            latest = index.latest(name, CHOICES)
        chosen = query.get("run", ())[:MOST_CHOSEN]
        succeeded = {
            stage: [entry for entry in entries if entry.output] for stage, entries in latest.items()
        }
        entries = [entry for entries in succeeded.values() for entry in entries[:MOST_CURVES]]
        entries = sorted(entries, key=lambda entry: entry.started, reverse=True)[:MOST_RECORDS]
        records = map(self.project.store.read_run, (entry.location for entry in entries))
        drawn = [self.run(run) for run in chosen] or [run for run in records if run]
        tables = {run.run: dict(self._curves(run)) for run in drawn}
        stages = dict.fromkeys(run.stage for run in drawn if tables[run.run])
        return self._template(
            "metrics.html",
            path,
            name=name,
            charts=charts,
            curves=runs.curve_charts(tables),
            chosen=chosen,
            drawn=[run for run, curves in tables.items() if curves],
            choices=[entry for stage in stages for entry in succeeded.get(stage, ())],
            policy=PLOTLY_POLICY,
        )

    def _compare(self, path: str, name: str, query: Query) -> str:
        chosen = [self.run(run) for run in query.get("run", ())]
        if len(chosen) != 2:
            raise UsageError(
                "choose two runs to compare", hint="tick two rows of the table of runs"
            )
        first, second = sorted(chosen, key=lambda run: run.run)
        project = self.project
        return self._template(
            "compare.html",
            path,
            name=name,
            runs=(first, second),
            diff=difference(project.store, project.settings, first, second),
        )

    def _curves(self, run: RunManifest) -> Iterator[tuple[str, list[list[float]]]]:
        with suppress(StoreError):
            for entry in run.output.files[:FILES_BESIDE] if run.output else ():
                if curve := runs.curve(self.project.store, run, entry):
                    yield curve

    def _run(self, path: str, run: RunManifest) -> str:
        store = self.project.store
        with self.project.index(run.pipeline) as index:
            readers = index.readers(run.pipeline, run.location)
            entry = index.at(run.location)
        collected = store.collected(run.location) if run.output else None
        origins = [None if r.is_source else store.read_run(r.origin) for r in run.inputs]
        return self._template(
            "run.html",
            path,
            run=run,
            names=self.project.names_of(run),
            inputs=list(zip(run.inputs, origins, strict=True)),
            readers=readers,
            metrics=sorted(entry.metrics.items(), key=_nesting) if entry else [],
            files=run.output.files[:FILES_BESIDE] if run.output else (),
            place=store.address(run.location),
            collected=collected,
            commands=runs.commands(run, collected=bool(collected)),
            log=runs.read_log(store, run),
        )

    def _output(self, path: str, run: RunManifest, page: int) -> str:
        files = run.output.files if run.output else ()
        start = (page - 1) * FILES_A_PAGE
        if page > 1 and start >= len(files):
            raise UsageError(f"the output of run {run.run} has no page {page}")
        return self._template(
            "output.html",
            path,
            run=run,
            files=list(enumerate(files))[start : start + FILES_A_PAGE],
            page=page,
            pages=max(1, -(-len(files) // FILES_A_PAGE)),
        )

    def _file(self, path: str, run: RunManifest, number: int) -> str:
        entry, store = self.entry(run, number), self.project.store
        try:
            preview = runs.preview(store, run, entry)
        except ArtifactDamaged:
            refuse_collected(store, run)
            raise
        carried = ""
        if not self.live and entry.size <= CARRIED_BYTES:
            carried = runs.data_url(store, run, entry)
        return self._template(
            "file.html", path, run=run, entry=entry, number=number, preview=preview, carried=carried
        )

    def _template(self, template: str, path: str, **values: Any) -> str:
        up = "../" * path.count("/")
        pipelines = self.project.pipelines()

        def url(*segments: str) -> str:
            target = "/".join(segments)
            # The store's runs may be of pipelines of another project.
            if segments[0] == "pipelines" and segments[1] not in pipelines:
                return ""
            is_page = not target.startswith("static/")
            if is_page and self.included is not None and target not in self.included:
                return ""
            return up + "/".join(quote(segment, safe="") for segment in target.split("/"))

        page = self._environment.get_template(template)
        values = {"policy": POLICY, "index_fault": self.project.index_fault, **values}
        return str(page.render(url=url, live=self.live, path=path, **values))


def write_report(project: Project, pipelines: Sequence[str], directory: Path) -> int:
    """Write the pages of these pipelines into a directory, which is new, empty or an earlier report; return their number.

    The directory is replaced as a whole once all is written. A page that cannot be made says why. Raises UsageError for
    a directory that holds anything else or cannot be made, and as `Site.render` does for a pipeline that does not exist.
    """
    directory = Path(os.path.abspath(directory))
    _check_directory(directory)
    site = Site(project, live=False)
    paths = _included_pages(site, pipelines)
    site.pipelines, site.included = pipelines, frozenset(paths)
    # Without an engine or a registry the pages say so.
    with suppress(DaintreeError):
        site.images = project.images()
    fresh = directory.with_name(f".{directory.name}.{os.getpid()}")
    try:
        fresh.mkdir(parents=True)
    except OSError as error:
        raise UsageError(
            f"{directory} cannot be written: {error.strerror}", hint="name another one with --out"
        ) from None
    try:
        for path in paths:
            place = fresh / path
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                page = site.render(path)
            except DaintreeError as error:
                page = site.fault(path, error)
            place.write_text(page, encoding="utf-8", errors="replace")
        shutil.copytree(STATIC, fresh / "static")
        shutil.copyfile(plotly_script(), fresh / "static" / PLOTLY)
        (fresh / MARKER).touch()
        if directory.exists():
            shutil.rmtree(directory)
        fresh.rename(directory)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return len(paths)


def _check_directory(directory: Path) -> None:
    if not directory.exists() and not directory.is_symlink():
        return
    if directory.is_symlink() or not directory.is_dir():
        raise UsageError(
            f"{directory} is no directory", hint="name one with --out, or remove what is there"
        )
    if any(directory.iterdir()) and not (directory / MARKER).exists():
        raise UsageError(
            f"{directory} holds something that is no report", hint="name another one with --out"
        )


def _included_pages(site: Site, pipelines: Sequence[str]) -> list[str]:
    """The paths of a report's pages: of each pipeline its latest runs and those that its plan hits, with the outputs of these."""
    paths = ["index.html"]
    for name in pipelines:
        paths += [f"pipelines/{name}/{page}.html" for page in ("index", "runs", "metrics")]
        hits = [stage.output.run for stage in site.project.pipeline(name).stages if stage.output]
        with site.project.index(name) as index:
            recorded = [
                run.run for run in index.find(RunQuery(pipeline=name, limit=MOST_RUNS)).runs
            ]
        paths += [f"runs/{run}/index.html" for run in dict.fromkeys([*hits, *recorded])]
        for run in hits:
            paths += _output_pages(site, run)
    return paths


def _output_pages(site: Site, run: str) -> list[str]:
    try:
        artifact = site.run(run).output
    except UsageError:
        return []
    files = len(artifact.files) if artifact else 0
    pages = [f"output-{page}" for page in range(1, max(1, -(-files // FILES_A_PAGE)) + 1)]
    pages += [f"file-{number}" for number in range(min(files, 4 * FILES_BESIDE))]
    return [f"runs/{run}/{page}.html" for page in pages]


def plotly_script() -> Path:
    """The script that plotly's package carries."""
    import plotly

    return Path(plotly.__file__).parent / "package_data" / PLOTLY


def _unless_failing(read: Callable[[], Any], otherwise: Any) -> tuple[Any, Fault | None]:
    try:
        return read(), None
    except DaintreeError as error:
        return otherwise, Fault(error.message, error.hint)


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    environment.filters |= {
        "duration": lambda seconds: "-" if seconds is None else duration(seconds),
        "size": size,
        "short": short,
        "word": word,
        "count": count,
        "short_run": short_run,
        "when": lambda time: time[:16].replace("T", " "),
        "plain": _plain,
        "number": number,
        "sparkline": lambda entries: graph.sparkline([e.seconds for e in reversed(entries)]),
        "chart_series": lambda series: msgspec.json.encode(series).decode(),
        "clean_html": _marked_safe,
    }
    return environment


def _visible(value: Any) -> Any:
    """Text with its control characters visible; markup as it is."""
    return printable(value) if type(value) is str else value


def _nesting(metric: tuple[str, float]) -> tuple[int, str]:
    """The least nested metrics come first."""
    return metric[0].count("."), metric[0]


def _plain(line: str) -> str:
    """A line of a log without what controls a terminal."""
    return re.sub("\ufdd0[0-9;:]*\ufdd1", "", streamed(line))


def _marked_safe(html: str) -> Any:
    """HTML that `runs.markdown` has made, and nothing else."""
    from markupsafe import Markup

    return Markup(html)
