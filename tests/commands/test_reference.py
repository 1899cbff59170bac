from __future__ import annotations

from pathlib import Path

from daintree.commands.reference import DIRECTORY, EXAMPLES, outdated_pages, pages, write_pages
from daintree.spec.component import read_component
from daintree.spec.pipeline import read_pipeline


def test_the_example_pipeline_is_one() -> None:
    content = EXAMPLES["Pipeline files"].encode()
    pipeline = read_pipeline(content, "pipelines/compare.yaml", "compare")
    assert [stage.name for stage in pipeline.stages] == ["load-jsonl", "lax", "strict"]


def test_the_example_component_is_one() -> None:
    content = EXAMPLES["component.yaml"].encode()
    component = read_component(content, "components/shop/best-sellers/component.yaml")
    assert not component.params["threads"].affects_output


def test_doits_own_options_stand_apart() -> None:
    run = pages()[DIRECTORY / "commands.md"].split("## doit run\n")[1].split("\n## ")[0]
    own, doits = run.split("Options that doit itself brings:")
    assert "--set" in own
    assert "--set" not in doits
    assert "--continue" in doits
    assert "--continue" not in own


def test_a_page_that_is_not_what_the_code_says_is_named_and_renewed(tmp_path: Path) -> None:
    assert sorted(write_pages(tmp_path)) == sorted(pages())
    (tmp_path / DIRECTORY / "settings.md").write_text("old\n", encoding="utf-8")
    assert [*outdated_pages(tmp_path)] == [DIRECTORY / "settings.md"]
    write_pages(tmp_path)
    assert outdated_pages(tmp_path) == {}
