"""Pipeline as a picture: stages in layers from left to right, and the paths of the arrows between them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from daintree.pages.project import PipelineView

WIDTH, HEIGHT = 132, 48
ACROSS, DOWN = 28, 20
MARGIN = 12
LINE_WIDTH, LINE_HEIGHT = 96, 20
# The library's distance between two layers.
_UNIT = 72.0

Point = tuple[float, float]


class Box(msgspec.Struct, frozen=True):
    """A stage, the source or the output in the picture: its left upper corner, its text, its status ("" for no stage)."""

    x: float
    y: float
    name: str
    detail: str
    status: str = ""


class Picture(msgspec.Struct, frozen=True):
    """The boxes, the arrows as SVG paths, and the size of it all."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    arrows: tuple[str, ...]


def picture(pipeline: PipelineView) -> Picture:
    """The pipeline drawn; the same for the same pipeline."""
    numbers = {stage.name: place for place, stage in enumerate(pipeline.stages, 1)}
    sources = dict.fromkeys(source for stage in pipeline.stages for source in stage.sources)
    output = len(numbers) + 1
    origins = {source: place for place, source in enumerate(sources, output + 1)}
    edges = []
    for stage in pipeline.stages:
        starts = [origins[source] for source in stage.sources]
        starts += [numbers[need] for need in stage.needs]
        edges += [(start, numbers[stage.name]) for start in starts]
    if pipeline.output:
        edges += [(numbers[name], output) for name in pipeline.output_stages]
    alone = set(numbers.values()) - {node for edge in edges for node in edge}
    places, routes = layout(edges, alone)
    boxes = [
        Box(*places[place], "source", source or pipeline.origin)
        for source, place in origins.items()
    ]
    boxes += [Box(*places[numbers[s.name]], s.name, s.component, s.status) for s in pipeline.stages]
    if pipeline.output:
        boxes.append(Box(*places[output], "output", pipeline.output))
    return Picture(
        max(box.x for box in boxes) + WIDTH + MARGIN,
        max(box.y for box in boxes) + HEIGHT + MARGIN,
        tuple(boxes),
        tuple(_path(route) for route in routes),
    )


def layout(
    edges: Sequence[tuple[int, int]], alone: Collection[int] = ()
) -> tuple[dict[int, Point], list[list[Point]]]:
    """The place of each node of a graph without cycles, and for each edge the places that its arrow passes, in order.

    Nodes stand in layers from left to right, so that few arrows cross; those that are `alone` stand below.
    """
    from fast_sugiyama import from_edges

    drawn = from_edges(edges, check_layout=False).to_list() if edges else []
    places: dict[int, Point] = {}
    below = 0.0
    links: dict[int, list[int]] = {}
    for positions, across, down, drawn_edges in drawn:
        for node, (x, y) in positions:
            left = MARGIN + (down - y) / _UNIT * (WIDTH + ACROSS)
            places[int(node)] = (left, MARGIN + below + x / _UNIT * (HEIGHT + DOWN))
        below += (across / _UNIT + 1) * (HEIGHT + DOWN)
        for start, end in drawn_edges or ():
            links.setdefault(int(start), []).append(int(end))
    for number, node in enumerate(sorted(alone)):
        places[node] = (MARGIN, MARGIN + below + number * (HEIGHT + DOWN))
    known = {node for edge in edges for node in edge}
    return places, [_route(edge, links, known, places) for edge in edges]


def _route(
    edge: tuple[int, int],
    links: Mapping[int, Sequence[int]],
    known: set[int],
    places: Mapping[int, Point],
) -> list[Point]:
    """The places from an edge's start to its end, by the bends that the layout has put between."""
    start, end = edge
    for first in links.get(start, ()):
        route = [start, first]
        while route[-1] not in known and links.get(route[-1]):
            route.append(links[route[-1]][0])
        if route[-1] == end:
            return [places[node] for node in route]
    return [places[start], places[end]]


def _path(route: Sequence[Point]) -> str:
    """A smooth line from the right side of the first box to the left side of the last one."""
    x, y = route[0][0] + WIDTH, route[0][1] + HEIGHT / 2
    words = [f"M{x:.0f} {y:.1f}"]
    for place, (left, top) in enumerate(route[1:], 1):
        bend = (x + left) / 2
        height = top + HEIGHT / 2
        words.append(f"C{bend:.0f} {y:.1f} {bend:.0f} {height:.1f} {left:.0f} {height:.1f}")
        x, y = left, height
        if place < len(route) - 1:
            x += WIDTH
            words.append(f"H{x:.0f}")
    return "".join(words)


def sparkline(values: Sequence[float]) -> str:
    """The points of a small line, for SVG's polyline, oldest value first; "" for fewer than two values."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    step = (LINE_WIDTH - 4) / (len(values) - 1)
    return " ".join(
        f"{2 + place * step:.1f},{LINE_HEIGHT - 3 - (value - low) / span * (LINE_HEIGHT - 6):.1f}"
        for place, value in enumerate(values)
    )
