from __future__ import annotations

from collections.abc import Callable

from daintree.commands.plan import Drawing, drawing_of, mermaid, text_graph
from daintree.pipeline.decisions import Hit, Miss, Pending
from daintree.pipeline.plan import Planned

SPLIT = b"""
source: 'a "quoted" <source> & more.json'
output: {path: out, stages: [load, work]}
stages: [c/load, {component: c/work, name: work, needs: []}]
"""


def test_the_text_has_a_row_for_each_stage_with_what_it_reads(
    planned: Callable[..., Planned], hit: Callable[[str, float], Hit]
) -> None:
    plan = planned(
        {"load": hit("r1", 1), "left": Miss(), "right": hit("r2", 1), "join": Pending(("left",))}
    )
    assert text_graph(drawing_of(plan.plan)) == [
        "                source           data.json",
        "source ─▶       load    HIT      c/load",
        "load ─▶         left    MISS     c/work",
        "load ─▶         right   HIT      c/work",
        "left, right ─▶  join    PENDING  c/join",
        "join ─▶         output           out",
    ]


def test_the_flowchart_has_a_node_for_each_stage_and_an_edge_for_each_need(
    planned: Callable[..., Planned], hit: Callable[[str, float], Hit]
) -> None:
    plan = planned(
        {"load": hit("r1", 1), "left": Miss(), "right": hit("r2", 1), "join": Pending(("left",))}
    )
    assert mermaid(drawing_of(plan.plan)) == [
        "flowchart LR",
        '  source[("data.json")]',
        '  stage0["load<br/>c/load"]:::hit',
        '  stage1["left<br/>c/work"]:::miss',
        '  stage2["right<br/>c/work"]:::hit',
        '  stage3["join<br/>c/join"]:::pending',
        "  source --> stage0",
        "  stage0 --> stage1",
        "  stage0 --> stage2",
        "  stage1 --> stage3",
        "  stage2 --> stage3",
        '  output[/"out"/]',
        "  stage3 --> output",
        "  classDef hit fill:#d5f5d5,stroke:#2a7a2a",
        "  classDef miss fill:#ffd9d6,stroke:#b03a2e",
        "  classDef pending fill:#fff3c4,stroke:#a67c00",
    ]


def test_an_output_of_several_stages_has_an_edge_from_each(planned: Callable[..., Planned]) -> None:
    plan = planned({"load": Miss(), "work": Miss()}, pipeline=SPLIT)
    assert "load, work ─▶  output        out" in text_graph(drawing_of(plan.plan))
    assert [line for line in mermaid(drawing_of(plan.plan)) if "output" in line] == [
        '  output[/"out"/]',
        "  stage0 --> output",
        "  stage1 --> output",
    ]


def test_without_an_output_none_is_drawn(planned: Callable[..., Planned]) -> None:
    plan = planned({"load": Miss()}, pipeline=b"source: s\nstages: [c/load]\n")
    assert len(text_graph(drawing_of(plan.plan))) == 2
    assert not [line for line in mermaid(drawing_of(plan.plan)) if "output" in line]


def test_what_people_write_cannot_break_the_flowchart(planned: Callable[..., Planned]) -> None:
    pipeline = b"source: s\nstages: [{component: 'c/<b>\"x\"&', name: x}]\n"
    plan = planned({"x": Miss()}, pipeline=pipeline)
    assert '  stage0["x<br/>c/&lt;b&gt;&quot;x&quot;&amp;"]:::miss' in mermaid(
        drawing_of(plan.plan)
    )


def test_a_pipeline_without_statuses_is_drawn_as_it_is_written(
    planned: Callable[..., Planned],
) -> None:
    plan = planned({"load": Miss()}, pipeline=b"source: s\nstages: [c/load]\n").plan
    drawing = Drawing(plan.pipeline, {"": "s"}, {})
    assert text_graph(drawing) == ["           source    s", "source ─▶  load      c/load"]
    assert mermaid(drawing) == [
        "flowchart LR",
        '  source[("s")]',
        '  stage0["load<br/>c/load"]',
        "  source --> stage0",
    ]
