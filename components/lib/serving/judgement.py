"""From what was served and what was trained on to measures, alerts, and a report of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from stageio import StageError

from .stability import TENTHS, index_by_chance, stability_index, tenths_of
from .traffic import Served, Traffic


@dataclass(frozen=True)
class Limits:
    """What is judged: no fewer requests than these, and measures up to these values (0: not judged)."""

    min_requests: int
    max_unknown: float
    max_psi: float
    max_psi_answered: float

    def check(self) -> None:
        """Raise StageError, which names the flag, for a limit that is out of its range."""
        if self.min_requests < 1:
            raise StageError(f"--min-requests {self.min_requests}: out of range", "give 1 or more")
        for name in ("max_unknown", "max_psi", "max_psi_answered"):
            if getattr(self, name) < 0:
                flag = f"--{name.replace('_', '-')} {getattr(self, name)}"
                raise StageError(f"{flag}: out of range", "give 0 or more")


@dataclass(frozen=True)
class Measure:
    """One number (None: there is nothing to tell it from) and the limit (0: none) it may not exceed.

    `by_chance` is what it exceeds 1 time in 20 without any change (None: not known).
    """

    name: str
    value: float | None
    limit: float
    by_chance: float | None = None

    @property
    def alert(self) -> bool:
        """Whether the limit is exceeded."""
        return bool(self.limit) and self.value is not None and self.value > self.limit


@dataclass(frozen=True)
class Tenth:
    """A tenth of the training data: how many items make it up, and how often these occur where."""

    tenth: int
    items: int
    trained: int
    asked: int
    answered: int


@dataclass(frozen=True)
class Judgement:
    """What was found; `first` and `last` are the times of the requests ("": not known)."""

    run: str
    served: str
    requests: int
    first: str
    last: str
    broken_lines: int
    measures: tuple[Measure, ...]
    tenths: tuple[Tenth, ...]

    @property
    def alerts(self) -> list[str]:
        """The measures that exceed their limits, in words."""
        return [f"{m.name}: {m.value:.4f} > {m.limit:g}" for m in self.measures if m.alert]


def judge(served: Served, run: str, trained: Mapping[str, int], limits: Limits) -> Judgement:
    """Compare what the model of `run` served with how often each item occurs in its training data.

    Raises StageError where it served too few requests to judge.
    """
    traffic = _enough(served, run, limits.min_requests)
    tenths = tenths_of(trained)
    expected, items = [0] * TENTHS, Counter(tenths.values())
    for item, count in trained.items():
        expected[tenths[item] - 1] += count
    asked, answered = (
        _grouped(counts, tenths, served.by_tenth) for counts in (traffic.asked, traffic.answered)
    )
    requests, total = traffic.requests, traffic.unknown + traffic.asked.total()
    measures = (
        Measure("unknown items", traffic.unknown / total if total else None, limits.max_unknown),
        _drift("stability index, asked", expected, asked, requests, limits.max_psi),
        _drift("stability index, answered", expected, answered, requests, limits.max_psi_answered),
    )
    return Judgement(
        run,
        served.place,
        requests,
        traffic.first,
        traffic.last,
        served.broken,
        measures,
        tuple(
            Tenth(tenth, items[tenth], *counts)
            for tenth, *counts in zip(range(1, TENTHS + 1), expected, asked, answered, strict=True)
        ),
    )


def _enough(served: Served, run: str, fewest: int) -> Traffic:
    traffic = served.runs.get(run, Traffic())
    if traffic.requests >= fewest:
        return traffic
    others = [f"{t.requests} of run {r}" for r, t in sorted(served.runs.items()) if r and r != run]
    broken = [f"{served.broken} lines that cannot be read"] if served.broken else []
    beside = ", ".join([*others, *broken])
    raise StageError(
        f"{served.place}: {traffic.requests} requests were answered by {_named(run)}, and it takes "
        f"{fewest} to judge" + (f"; there are {beside}" if beside else ""),
        "wait for more, or give --min-requests: among few, chance weighs more than change",
    )


def _named(run: str) -> str:
    return f"the model of run {run}" if run else "this model"


def _grouped(counts: Counter[str], tenths: Mapping[str, int], by_tenth: bool) -> list[int]:
    grouped = [0] * TENTHS
    for name, count in counts.items():
        tenth = (int(name) if name.isdecimal() else None) if by_tenth else tenths.get(name)
        if tenth is not None and 1 <= tenth <= TENTHS:
            grouped[tenth - 1] += count
    return grouped


def _drift(
    name: str, expected: Sequence[int], actual: Sequence[int], requests: int, limit: float
) -> Measure:
    if not sum(expected) or not sum(actual):
        return Measure(name, None, limit)
    # The items of one request are no independent draws.
    by_chance = index_by_chance(expected, min(requests, sum(actual)))
    return Measure(name, stability_index(expected, actual), limit, by_chance)


def as_json(judgement: Judgement) -> dict[str, object]:
    """For programs."""
    measures = [{**asdict(m), "alert": m.alert} for m in judgement.measures]
    return {**asdict(judgement), "measures": measures, "alerts": judgement.alerts}


def as_text(judgement: Judgement) -> str:
    """For people."""
    times = [f"{time[:19]}Z" for time in (judgement.first, judgement.last) if time]
    period = f", {' to '.join(times)}" if times else ""
    lines = [f"{judgement.requests:,} requests to {_named(judgement.run)}{period}"]
    if judgement.broken_lines:
        lines.append(f"{judgement.broken_lines:,} lines of the log cannot be read")
    rows = [("measure", "value", "by chance", "alert above")]
    rows += [
        (m.name, _number(m.value), _number(m.by_chance), f"{m.limit:g}" if m.limit else "-")
        for m in judgement.measures
    ]
    lines += ["", *_columns(rows), ""]
    groups = [("tenth of the training data", "items", "trained", "asked", "answered")]
    totals = [
        sum(getattr(t, n) for t in judgement.tenths) for n in ("trained", "asked", "answered")
    ]
    for tenth in judgement.tenths:
        counts = zip((tenth.trained, tenth.asked, tenth.answered), totals, strict=True)
        shares = (f"{count / total:.1%}" if total else "-" for count, total in counts)
        groups.append((_ordinal(tenth.tenth), f"{tenth.items:,}", *shares))
    lines += [*_columns(groups), ""]
    lines += [
        f"not judged, there is nothing to tell it from: {m.name}"
        for m in judgement.measures
        if m.limit and m.value is None
    ]
    lines += [f"alert: {alert}" for alert in judgement.alerts] or ["no alert"]
    return "\n".join(lines) + "\n"


def _ordinal(tenth: int) -> str:
    return {1: "1, most frequent", TENTHS: f"{TENTHS}, rarest"}.get(tenth, str(tenth))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
