"""`doit gc`: outputs that no pipeline reaches go from the store, and what is left behind on this machine."""

from __future__ import annotations

import platform
import re
import shlex
import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from daintree.commands.command import DaintreeCommand, option, print_result, reserved_names, shared
from daintree.errors import DaintreeError, GitError, SettingsError, StoreError, UsageError
from daintree.settings import Settings, read_settings
from daintree.spec.pipeline import Pipeline, load_pipeline, pipeline_files
from daintree.store import garbage
from daintree.store.contents import remove_interrupted
from daintree.store.directory import remove_tree, size_below
from daintree.store.records import current_user
from daintree.store.store import Store, open_store
from daintree.terminal import columns, count, duration, one_line, say, size

# A stage that still runs after so long has used its environment before that.
SHORTEST_UNUSED = timedelta(days=7).total_seconds()
UNUSED = timedelta(days=14).total_seconds()
MOST_LISTED = 20

_DURATION = re.compile(r"(\d{1,9})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,3})?)\s*([kMGT]?i?)B?", re.IGNORECASE)
_POWERS = " kmgt"


class Collect(DaintreeCommand):
    """Shows what would go from the store; with `--yes` it goes."""

    name = "gc"
    doc_usage = "[--older-than 30d] [--keep-last N] [--max-size 50GB] [--all-branches] [--all-tags] [--all-projects] [--cache] [--yes] [--json] | --images [--yes] [--json]"
    doc_description = (
        "Without --yes it only says what would go. What a pipeline of this checkout reaches with its defaults never goes, nor a named run, "
        "what a submission reads, what somebody computes, publishes or reads now, or what another project has computed. Runs stay in the history, with their logs."
    )
    cmd_options = (
        option("older_than", "outputs computed longer ago may go: 90m, 12h, 30d, 4w"),
        option("keep_last", "all but the last N outputs of each stage may go", type=str),
        option("max_size", "outputs go until the store is no larger: 500MB, 50GB, 20GiB"),
        option("all_branches", "what the pipelines of any branch reach stays too", type=bool),
        option("all_tags", "what the pipelines of any tag reach stays too", type=bool),
        option(
            "all_projects",
            "outputs of other projects' runs may go too, though what those projects reach is not known here",
            type=bool,
        ),
        option("cache", "only from this machine's cache, not from the bucket behind it", type=bool),
        option(
            "grace", "how long the files of retired keys stay (default: 1h in a bucket, else 0s)"
        ),
        option(
            "images",
            "instead: tags in the registry that no branch, no :latest and no run needs",
            type=bool,
        ),
        option("yes", "do it", type=bool, short="y"),
        *shared("json"),
    )

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        if options["images"]:
            self._collect_images(remove=options["yes"], as_json=options["json"])
            return
        store = open_store(self.settings)
        if options["cache"] and store.shared is None:
            raise UsageError(
                f"--cache: the store {store.url} is in no bucket, so it has no cache",
                hint="leave --cache out",
            )
        parts = [] if options["cache"] else [garbage.GarbageCollection(store)]
        parts += [garbage.GarbageCollection(store, cache=True)] if store.shared else []
        now = time.time()
        surveys = [part.survey() for part in parts]
        environments = {one.environment for survey in surveys for one in survey.outputs}
        roots = all_roots(self.settings, store, environments, options, now)
        reports = [
            self._collect(part, survey, roots, options, now)
            for part, survey in zip(parts, surveys, strict=True)
        ]
        unused = unused_directories(self.settings, options, now)
        left = remove_interrupted(
            *(store.backend, store.local.directory),
            now=now,
            cache_alone=options["cache"],
            remove=options["yes"],
        )
        if options["yes"]:
            remove_unused(self.settings, unused)
        print_result(
            options["json"],
            lambda: as_json(reports, unused, left, options["yes"]),
            lambda: page(reports, unused, left, options),
        )

    def _collect(
        self,
        part: garbage.GarbageCollection,
        survey: garbage.Survey,
        roots: garbage.Roots,
        options: Mapping[str, Any],
        now: float,
    ) -> Report:
        is_bucket = "://" in part.url
        policy = policy_of(options, is_bucket)
        everything = garbage.select(survey, roots, policy, now)
        if not options["all_projects"]:
            policy = msgspec.structs.replace(policy, project=self.settings.project)
        doomed = garbage.select(survey, roots, policy, now)
        others = tuple(one.item for one in everything if not policy.judges(one.item))
        outcomes: Sequence[str] = ["" for _ in doomed]
        if options["yes"]:
            outcomes = part.collect(
                doomed, policy.grace, now, by=f"{current_user() or '-'}@{platform.node()}"
            )
        return Report(
            part.url, survey.bytes, len(survey.outputs), tuple(doomed), tuple(outcomes), others
        )

    def _collect_images(self, *, remove: bool, as_json: bool) -> None:
        """Say which images of the registry nobody needs, or delete their tags."""
        from daintree.images.registry import component_repository, open_registry
        from daintree.images.tags import needed_versions, unneeded_images

        settings = self.settings
        registry = open_registry(settings.registry, plain_http=settings.registry_plain_http)
        if registry is None:
            raise UsageError(
                "--images: no registry is set",
                hint="set DAINTREE_REGISTRY, or registry in pyproject.toml, to host[:port][/prefix]",
            )
        needed = needed_versions(settings)
        repositories = {name: component_repository(settings.registry, name) for name in needed}
        images = unneeded_images(registry, repositories, needed)
        if remove:
            for image in images:
                registry.delete(repositories[image.component], image.digest)
        table = {"removed": remove, "images": msgspec.to_builtins(images)}
        rows = [[image.component, ", ".join(image.tags), image.digest] for image in images]
        what = f"{count(len(images), 'image')} that nobody needs"
        if remove:
            what = f"removed {what}; the registry's own collection frees the space"
        lines = [*columns(rows), f"{settings.registry}: {what}"]
        if images and not remove:
            lines.append("nothing was removed; to do it: doit gc --images --yes")
        report = {"registry": settings.registry, **table}
        print_result(as_json, lambda: report, lambda: lines)


class Report(msgspec.Struct, frozen=True):
    """Result of a collection in one store: what it held before, what goes, and what became of each ("" when nothing was done).

    `others` is what would go, too, if other projects' roots counted for nothing.
    """

    url: str
    bytes: int
    outputs: int
    doomed: tuple[garbage.Doomed, ...]
    outcomes: tuple[str, ...]
    others: tuple[garbage.Output | garbage.KeptSource, ...]

    @property
    def projects(self) -> list[str]:
        """The projects that the `others` are of; one that is not known is "unknown"."""
        names = (
            one.projects if isinstance(one, garbage.KeptSource) else (one.project,)
            for one in self.others
        )
        return sorted({name or "unknown" for several in names for name in several})

    @property
    def seconds(self) -> float:
        """Seconds that computing again what goes would take."""
        return sum(
            d.item.seconds
            for d in self.doomed
            if isinstance(d.item, garbage.Output) and d.item.keys
        )


def policy_of(options: Mapping[str, Any], is_bucket: bool) -> garbage.Policy:
    """The policy that the options say. Raises UsageError."""
    older, last, largest = options["older_than"], options["keep_last"], options["max_size"]
    if last and not re.fullmatch(r"\d{1,9}", last):
        raise UsageError(f"--keep-last {last!r}: expected a whole number", hint="such as 5")
    default = garbage.GRACE_SECONDS if is_bucket else 0.0
    return garbage.Policy(
        older_than=seconds_in("--older-than", older) if older else None,
        keep_last=int(last) if last else None,
        max_size=bytes_in("--max-size", largest) if largest else None,
        grace=seconds_in("--grace", options["grace"]) if options["grace"] else default,
    )


def seconds_in(name: str, text: str) -> float:
    """Seconds of a duration such as 30d. Raises UsageError, which names the option."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise UsageError(f"{name} {text!r}: expected a duration", hint="such as 90m, 12h, 30d, 4w")
    return int(match[1]) * float(_SECONDS[match[2]])


def bytes_in(name: str, text: str) -> int:
    """Bytes of a size such as 50GB (powers of 1000) or 20GiB (powers of 1024). Raises UsageError, which names the option."""
    match = _SIZE.fullmatch(text)
    if match is None or match[2].lower() == "i":
        raise UsageError(f"{name} {text!r}: expected a size", hint="such as 500MB, 50GB, 20GiB")
    unit = match[2].lower()
    power = _POWERS.index(unit[:1] or " ")
    return int(float(match[1]) * (1024 if unit.endswith("i") else 1000) ** power)


def all_roots(
    settings: Settings,
    store: Store,
    environments: Collection[str],
    options: Mapping[str, Any],
    now: float,
) -> garbage.Roots:
    """Roots of a collection: what the pipelines reach, named runs, submissions. Raises StoreError, GitError."""
    from daintree.argo.submission import Submission
    from daintree.components.history import checked_out

    roots = garbage.named(store.backend) | garbage.submitted(store.backend, Submission, now)
    roots |= reached(settings, store, environments, "")
    for commit in _commits(settings.root, options):
        with checked_out(settings.root, commit) as root:
            place = f" of {commit[:8]}"
            try:
                there = settings_at(root, settings)
                roots |= reached(there, store, environments, place, settings.root)
            except SettingsError as error:
                say(f"warning: no pipeline{place} can be planned, so all their runs stay: {error}")
                roots |= garbage.Roots(pipelines=frozenset(pipeline_files(root)))
    return roots


def _commits(root: Path, options: Mapping[str, Any]) -> list[str]:
    """The commits whose pipelines count beside those of the working tree: its own, where it differs from that, and what the options say."""
    from daintree.components.git import head
    from daintree.components.history import commits_of

    places = [
        *(["refs/heads", "refs/remotes"] if options["all_branches"] else []),
        *(["refs/tags"] if options["all_tags"] else []),
    ]
    commits = commits_of(root, places) if places else []
    # What is in no repository has no commit.
    with suppress(GitError):
        commit, is_changed = head(root, ["."])
        commits += [commit] if is_changed and commit and commit not in commits else []
    return commits


_OWN = ("project", "store", "cache", "when_unavailable", "environments", "snapshots", "images")


def settings_at(root: Path, settings: Settings) -> Settings:
    """The settings of another checkout, with the directories and the store of this one. Raises SettingsError."""
    return read_settings(root)._replace(**{name: getattr(settings, name) for name in _OWN})


def reached(
    settings: Settings,
    store: Store,
    environments: Collection[str],
    place: str,
    home: Path | None = None,
) -> garbage.Roots:
    """Roots of a checkout: the runs that its pipelines reach with their defaults, in each of these environments.

    Of one that cannot be planned, all runs stay, and all of its components' versions; a warning says so. `home` has the sources that
    are in no commit. Raises StoreError.
    """
    reserved = reserved_names(settings.root)
    roots = garbage.Roots()
    for name in pipeline_files(settings.root):
        pipeline: Pipeline | None = None
        try:
            pipeline = load_pipeline(settings.root, name, reserved)
            roots |= _planned(settings, store, pipeline, environments, home or settings.root)
        except StoreError:
            raise
        except DaintreeError as error:
            say(
                f"warning: pipeline {name}{place} cannot be planned, so all its runs stay: {error.message}"
            )
            versions = _versions(settings, pipeline) if pipeline else frozenset()
            roots |= garbage.Roots(pipelines=frozenset([name]), versions=versions)
    return roots


def _planned(
    settings: Settings, store: Store, pipeline: Pipeline, environments: Collection[str], home: Path
) -> garbage.Roots:
    from daintree.pipeline.plan import locations_reached, make_plan
    from daintree.pipeline.session import Request, Session

    places = {
        name: home / source.location
        for name, source in pipeline.sources.items()
        if "://" not in source.location and not (settings.root / source.location).exists()
    }
    request = Request(
        pipeline=pipeline.name,
        directory=settings.root,
        sources=tuple(
            f"{name}={path}" if name else str(path)
            for name, path in places.items()
            if path.exists()
        ),
    )
    session = Session(settings, request, reserved_names(settings.root))
    plan = make_plan(session, fetch=False)
    digests = (identity.digest for identity in plan.identities.values())
    return garbage.Roots(
        frozenset(locations_reached(store, plan, environments)),
        frozenset(digest for digest in digests if digest),
    )


def _versions(settings: Settings, pipeline: Pipeline) -> frozenset[str]:
    from daintree.pipeline.plan import versions_of

    try:
        return frozenset(v.digest for v in versions_of(settings, pipeline).values())
    except DaintreeError:
        return frozenset()


def unused_directories(
    settings: Settings, options: Mapping[str, Any], now: float
) -> dict[str, dict[Path, int]]:
    """Bytes of environments, snapshots and git's private objects that were not used for long, nor now, by kind and path; all of it is made again when it is needed."""
    from daintree.components.git import unused_objects
    from daintree.components.snapshot import unused_snapshots
    from daintree.runners.environments import Environments, is_in_use

    older = options["older_than"]
    unused = max(seconds_in("--older-than", older), SHORTEST_UNUSED) if older else UNUSED
    unused_paths = {
        "environments": Environments(settings.environments).unused(now - unused),
        "snapshots": unused_snapshots(settings.snapshots, now - unused),
        "private objects of git": unused_objects(now - unused),
    }
    return {
        kind: {path: size_below(path) for path in paths if not is_in_use(path)}
        for kind, paths in unused_paths.items()
    }


def remove_unused(settings: Settings, unused: Mapping[str, Iterable[Path]]) -> None:
    """Remove them; what another process makes at this moment stays. Raises OSError."""
    from daintree.runners.environments import Environments

    environments = Environments(settings.environments)
    for kind, paths in unused.items():
        for path in paths:
            if kind == "environments":
                environments.remove(path)
            else:
                remove_tree(path)
                path.with_name(f"{path.name}.converted").unlink(missing_ok=True)


def page(
    reports: Sequence[Report],
    unused: Mapping[str, Mapping[Path, int]],
    left: tuple[int, int],
    options: Mapping[str, Any],
) -> list[str]:
    lines: list[str] = []
    for report in reports:
        lines += _report_lines(report, options["yes"])
    verb = "removed" if options["yes"] else "would go"
    for kind, paths in unused.items():
        if paths:
            held = size(sum(paths.values()))
            lines.append(f"{len(paths)} {kind} ({held}) not used for long: {verb}")
    if left[0]:
        lines.append(f"{count(left[0], 'interrupted run or file')} ({size(left[1])}): {verb}")
    if not options["yes"] and (any(r.doomed for r in reports) or any(unused.values()) or left[0]):
        words = shlex.join(sys.argv[1:]) if sys.argv[1:2] == ["gc"] else "gc"
        lines.append(f"nothing was removed; to do it: doit {words} --yes")
    return lines


def _report_lines(report: Report, done: bool) -> list[str]:
    items = [*zip(report.doomed, report.outcomes, strict=True)]
    goes = sum(d.item.bytes for d in report.doomed)
    number = count(len(items), "output")
    rest = f"of {report.outputs} ({size(goes)} of {size(report.bytes)})"
    if not done:
        cost = f"computing them again would take {duration(report.seconds)}" if items else ""
        lines = [f"{report.url}: {number} {rest} would go" + (f"; {cost}" if cost else "")]
    else:
        removed = [d.item.bytes for d, outcome in items if outcome == "removed"]
        what = f"{count(len(removed), 'output')} ({size(sum(removed))})"
        lines = [f"{report.url}: removed {what}"]
        for outcome, text in (
            ("retired", "retired: its files go with a later collection"),
            ("in use", "in use now, so it stays"),
        ):
            several = [d for d, became in items if became == outcome]
            if several:
                lines.append(f"  {count(len(several), 'output')} {text}")
    rows = [
        [_name(d), size(d.item.bytes), _cost(d), d.why]
        for d, _ in sorted(items, key=lambda pair: -pair[0].item.bytes)
    ]
    if report.others:
        held = size(sum(one.bytes for one in report.others))
        names = one_line(", ".join(report.projects))
        lines.append(
            f"  {count(len(report.others), 'more output')} ({held}) of other projects ({names}) stay unless --all-projects is given"
        )
    lines += columns(rows[:MOST_LISTED])
    if len(rows) > MOST_LISTED:
        lines.append(f"  … and {len(rows) - MOST_LISTED} more; --json lists them all")
    return lines


def _name(doomed: garbage.Doomed) -> str:
    item = doomed.item
    if isinstance(item, garbage.Output):
        return f"{item.pipeline}:{item.stage} {item.run}"
    return f"source {item.digest[7:19]}"


def _cost(doomed: garbage.Doomed) -> str:
    item = doomed.item
    return duration(item.seconds) if isinstance(item, garbage.Output) and item.keys else "-"


def as_json(
    reports: Sequence[Report],
    unused: Mapping[str, Mapping[Path, int]],
    left: tuple[int, int],
    done: bool,
) -> dict[str, Any]:
    return {
        "removed": done,
        "stores": [
            {
                "store": report.url,
                "bytes": report.bytes,
                "freed": sum(d.item.bytes for d in report.doomed),
                "seconds": round(report.seconds, 3),
                "others": {
                    "number": len(report.others),
                    "bytes": sum(one.bytes for one in report.others),
                    "projects": report.projects,
                },
                "goes": [
                    {**msgspec.to_builtins(d.item), "why": d.why, "outcome": outcome or None}
                    for d, outcome in zip(report.doomed, report.outcomes, strict=True)
                ],
            }
            for report in reports
        ],
        "unused": {
            kind: [{"path": str(path), "bytes": held} for path, held in paths.items()]
            for kind, paths in unused.items()
        },
        "interrupted": {"number": left[0], "bytes": left[1]},
    }
