"""Pages by their paths: what each shows of a project, its runs and their outputs; hostile words are words."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec
import pytest

from daintree.errors import ArtifactDamaged, UsageError
from daintree.pages.project import Project
from daintree.pages.runs import MARKDOWN_BYTES
from daintree.pages.site import Site
from daintree.store.records import InputRecord
from tests.conftest import Monorepo
from tests.contract.runs import (
    OTHER_RUN,
    RUN,
    collect,
    key_of,
    location_of,
    manifest_of,
    publish,
    publish_failed,
)
from tests.pages.conftest import project_of

SCRIPT = "<script>alert(1)</script>"
RUN_PAGE = f"runs/{RUN}/index.html"


def text_of(html: str) -> str:
    """The words of a page, without its markup."""
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


class Tags(HTMLParser):
    """The tags of a page, each with its attributes, as a browser takes them."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, dict(attrs)))


def test_home_shows_pipelines_stages_and_components(site: Site) -> None:
    page = text_of(site.render("index.html"))
    assert "words, counted" in page
    assert "load miss" in page
    assert "Never run" in page
    assert "shop/train vectors of words" in page


def test_home_shows_the_last_run_of_each_stage(project: Project, site: Site) -> None:
    publish(project.store)
    assert "train pending 2026-03-01 10:15" in text_of(site.render("index.html"))


def test_home_names_the_later_of_two_runs_of_one_second(project: Project, site: Site) -> None:
    publish(project.store, RUN, stage="load")
    publish(project.store, OTHER_RUN, stage="train")
    assert "Last run: train" in text_of(site.render("index.html"))


def test_home_names_a_broken_pipeline_and_shows_the_others(shop: Monorepo, site: Site) -> None:
    shop.write("pipelines/odd.yaml", "stages: 7\n")
    page = text_of(site.render("index.html"))
    assert "pipelines/odd.yaml" in page
    assert "words, counted" in page


def test_home_of_a_repository_that_has_only_pipelines(shop: Monorepo) -> None:
    shop.git("rm", "-rq", "components")
    page = text_of(Site(project_of(shop), live=True).render("index.html"))
    assert "words" in page
    assert "Components" not in page


def test_a_pipelines_page_draws_it_and_tells_each_stages_reason(site: Site) -> None:
    html = site.render("pipelines/words/index.html")
    assert html.count('data-node="') == 4
    assert html.count('class="arrow"') == 6
    page = text_of(html)
    assert "no run recorded" in page
    assert "waits for load" in page
    assert "epochs = 20" in page


def test_the_runs_of_a_stage_are_in_its_details(project: Project, site: Site) -> None:
    publish(project.store)
    publish_failed(project.store, OTHER_RUN, reason="forced")
    page = text_of(site.render("pipelines/words/index.html"))
    assert "00000000 ok 2026-03-01 10:15 1.50 s" in page
    assert "11111111 failed" in page


def test_runs_are_filtered_sorted_and_told_apart(project: Project, site: Site) -> None:
    publish(project.store)
    publish_failed(project.store, OTHER_RUN, parameters={"epochs": 20})
    every = text_of(site.render("pipelines/words/runs.html"))
    assert "2 runs" in every
    assert "epochs" in every
    failed = site.render("pipelines/words/runs.html", {"result": ["failed"]})
    assert RUN not in failed
    assert OTHER_RUN in failed
    assert RUN not in site.render("pipelines/words/runs.html", {"where": ["epochs < 30"]})
    assert "No run matches" in site.render("pipelines/words/runs.html", {"until": ["2026-02-28"]})
    assert "2 runs" in site.render("pipelines/words/runs.html", {"since": ["2026-03-01"]})
    assert "epochs: no condition" in site.render("pipelines/words/runs.html", {"where": ["epochs"]})
    rising = site.render("pipelines/words/runs.html", {"sort": ["parameter:epochs"]})
    assert rising.index(OTHER_RUN) < rising.index(RUN)


def test_a_runs_page_tells_where_it_came_from_and_what_was_made_of_it(
    project: Project, site: Site
) -> None:
    run = publish(project.store, reason="component shop/train changed: main.py")
    assert run.output is not None
    reads = InputRecord("train", run.output.digest, run.location)
    publish(
        project.store,
        OTHER_RUN,
        stage="join",
        inputs=(reads,),
    )
    page = site.render(RUN_PAGE)
    assert "component shop/train changed: main.py" in page
    assert f"doit show {RUN[-8:]}" in page
    assert f"doit pull {RUN[-8:]}" in page
    assert f"../../runs/{OTHER_RUN}/index.html" in page
    assert f"../../runs/{RUN}/index.html" in site.render(f"runs/{OTHER_RUN}/index.html")
    assert "said" in text_of(page)


def test_an_output_is_listed_and_its_files_are_shown(project: Project, site: Site) -> None:
    files = {
        "table.csv": b"a,b\n1,<b>\n",
        "model_card.md": b"# Card\n\n| x |\n|---|\n| 1 |\n",
        "metrics.json": b'{"hr": 0.50, "hr": 1}',
        "lone.json": rb'{"word": "\ud800"}',
        "long.md": b"[" * MARKDOWN_BYTES * 2,
        "plot.png": b"\x89PNG\r\n\x1a\n",
        "weights.bin": b"\x00\x01",
    }
    publish(project.store, files=files)
    listed = site.render(f"runs/{RUN}/output-1.html")
    assert all(name in listed for name in files)
    shown = {
        name: site.render(f"runs/{RUN}/file-{number}.html")
        for number, name in enumerate(sorted(files))
    }
    assert "<td>&lt;b&gt;</td>" in shown["table.csv"]
    assert "<h1>Card</h1>" in shown["model_card.md"]
    assert "<table>" in shown["model_card.md"]
    # Each value is shown as it was written.
    assert "&#34;hr&#34;: 0.50,\n  &#34;hr&#34;: 1\n" in shown["metrics.json"]
    assert "\\ud800" in shown["lone.json"]
    assert "The first 32.8 kB of 65.5 kB" in shown["long.md"]
    assert 'src="data:image/png;base64,' in shown["plot.png"]
    assert "Binary, or text in another encoding" in shown["weights.bin"]


def test_hostile_words_are_shown_as_words(project: Project, site: Site) -> None:
    files = {
        f"{SCRIPT.replace('/', '')}.csv": SCRIPT.encode(),
        "note.md": f"{SCRIPT}\n\n[x](javascript:alert(1)) [y](//evil.example/x) [z](evil.html)\n\n![p](https://evil.example/p.png)".encode(),
        "x.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        "y.html": SCRIPT.encode(),
    }
    run = publish(
        project.store,
        files=files,
        reason=SCRIPT,
        parameters={SCRIPT: SCRIPT},
        user=SCRIPT,
        host='" onmouseover="alert(1)',
    )
    paths = [
        "index.html",
        "pipelines/words/index.html",
        "pipelines/words/runs.html",
        "pipelines/words/metrics.html",
        RUN_PAGE,
        f"runs/{RUN}/output-1.html",
        *(f"runs/{RUN}/file-{number}.html" for number in range(len(files))),
    ]
    for path in paths:
        tags = Tags()
        tags.feed(site.render(path))
        assert not [tag for tag, given in tags.all if tag == "script" and "src" not in given], path
        for _, given in tags.all:
            assert not [name for name in given if name.startswith("on") or name == "style"], path
            links = [given.get(name) or "" for name in ("href", "src", "action")]
            assert not [link for link in links if "javascript:" in link or "evil" in link], path
    assert run.output is not None


def test_a_run_of_another_projects_pipeline_leads_to_no_page_of_it(
    project: Project, site: Site
) -> None:
    publish(project.store, pipeline="theirs")
    page = site.render(RUN_PAGE)
    assert "theirs" in page
    assert "pipelines/theirs" not in page
    publish(project.store, OTHER_RUN)
    assert "pipelines/words/index.html" in site.render(f"runs/{OTHER_RUN}/index.html")


def test_log_lines_lose_what_controls_a_terminal(project: Project, site: Site) -> None:
    with project.store.stage(RUN) as staging:
        staging.log.write_bytes(b"\x1b[31mred\x1b[0m \x1b]0;title\x07and \xe2\x80\xaereversed\n")
        project.store.publish_run(staging, manifest_of())
    page = site.render(RUN_PAGE)
    assert "red and reversed" in page
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_a_long_log_is_shown_by_its_beginning_and_its_end(project: Project, site: Site) -> None:
    with project.store.stage(RUN) as staging:
        staging.log.write_text("".join(f"line {number} of it\n" for number in range(50_000)))
        project.store.publish_run(staging, manifest_of())
    page = site.render(RUN_PAGE)
    assert "line 0 of it" in page
    assert "line 49999 of it" in page
    assert "line 25000 of it" not in page
    assert "left out here" in page
    assert len(page) < 100_000


@pytest.mark.parametrize(
    "path",
    [
        "nothing.html",
        "pipelines/none/index.html",
        "pipelines/words/other.html",
        "pipelines/../index.html",
        "runs/20260301T101500000Z-ffffffff/index.html",
        f"runs/{RUN}/file-9.html",
        f"runs/{RUN}/output-7.html",
        f"runs/{RUN}/../index.html",
        f"runs/{RUN[:-2]}/index.html",
        "static/../site.py",
    ],
)
def test_there_are_no_other_pages(project: Project, site: Site, path: str) -> None:
    publish(project.store)
    with pytest.raises((UsageError,)):
        site.render(path)


def test_a_damaged_file_is_never_shown(project: Project, site: Site) -> None:
    run = publish(project.store, files={"a.csv": b"x\n1\n"})
    place = project.store.directory / location_of(run.run) / "output/a.csv"
    place.chmod(0o644)
    place.write_bytes(b"y\n2\n")
    with pytest.raises(ArtifactDamaged):
        site.render(f"runs/{RUN}/file-0.html")


def test_metrics_become_lines_over_time_and_tables_curves(project: Project, site: Site) -> None:
    for run, rate in ((RUN, b"0.5"), (OTHER_RUN, b"0.6")):
        publish(
            project.store,
            run,
            {
                "metrics.json": b'{"test": {"hr": %s}}' % rate,
                "training.csv": b"epoch,loss\n1,0.9\n2,0.4\n",
            },
        )
    html = site.render("pipelines/words/metrics.html")
    series = [
        msgspec.json.decode(attribute.replace("&#34;", '"'))
        for attribute in re.findall(r'data-series="([^"]*)"', html)
    ]
    curve, measured = series
    assert {line["name"] for line in curve} == {RUN[-8:], OTHER_RUN[-8:]}
    assert curve[0]["y"] == [0.9, 0.4]
    assert measured[0]["y"] == [0.5, 0.6]
    assert 'aria-label="loss (training.csv) over epoch"' in html


def test_curves_are_those_of_the_chosen_runs(project: Project, site: Site) -> None:
    table = {"training.csv": b"epoch,loss\n1,0.9\n2,0.4\n"}
    publish(project.store, RUN, table)
    publish(project.store, OTHER_RUN, table)
    html = site.render("pipelines/words/metrics.html", {"run": [RUN]})
    assert "Curves of the chosen runs" in html
    assert f'value="{RUN}" checked' in html
    assert f'value="{OTHER_RUN}">' in html
    [curve] = re.findall(r'data-series="([^"]*)"', html)
    assert RUN[-8:] in curve
    assert OTHER_RUN[-8:] not in curve


def test_a_name_is_shown_with_its_runs(project: Project, site: Site) -> None:
    from daintree.commands.name import moved
    from daintree.store.records import NamedRun, NameRecord

    run = publish(project.store)
    assert run.output is not None
    named = NamedRun(run.run, run.location, run.keys.content, run.output.digest, "0" * 64)
    record = moved(
        NameRecord(pipeline="words", name="production"),
        {"train": named},
        when="2026-03-02T00:00:00Z",
        by="ana",
        note="for the shop",
    )
    assert project.store.write_name(record, None)
    page = text_of(site.render("index.html"))
    assert "words@production train 00000000 2026-03-02 00:00 ana for the shop" in page
    assert "words:train ok @production" in text_of(site.render(RUN_PAGE))


def test_two_runs_are_compared(project: Project, site: Site) -> None:
    publish(project.store, files={"metrics.json": b'{"hr": 0.5}'})
    publish(
        project.store,
        OTHER_RUN,
        {"metrics.json": b'{"hr": 0.75}'},
        parameters={"epochs": 20},
    )
    page = text_of(site.render("pipelines/words/compare.html", {"run": [OTHER_RUN, RUN]}))
    assert "epochs 50 20" in page
    assert "hr 0.5 0.75" in page
    assert "metrics.json 11 B" in page
    with pytest.raises(UsageError, match="choose two runs"):
        site.render("pipelines/words/compare.html", {"run": [RUN]})


def test_the_comparison_is_that_of_doit_diff(project: Project, site: Site) -> None:
    source = InputRecord("", key_of("source"), "corpus.txt")
    publish(project.store, files={"a.csv": b"x\n1\n"}, inputs=(source,), commit="e" * 40)
    publish(
        project.store,
        OTHER_RUN,
        {"a.csv": b"x,y\n1,2\n3,4\n"},
        inputs=(InputRecord("", key_of("other"), "corpus.txt"),),
        commit="f" * 40,
        environment=SCRIPT,
    )
    html = site.render("pipelines/words/compare.html", {"run": [RUN, OTHER_RUN]})
    page = text_of(html)
    assert "a.csv 4 B 12 B changed 1 → 2 +y" in page
    assert "the source" in page
    assert "another source" in page
    assert "commit " + "e" * 40 + " " + "f" * 40 in page
    assert SCRIPT not in html


def test_a_run_that_failed_is_compared_without_outputs_and_metrics(
    project: Project, site: Site
) -> None:
    publish(project.store, files={"metrics.json": b'{"hr": 0.89}'})
    publish_failed(project.store, OTHER_RUN)
    page = text_of(site.render("pipelines/words/compare.html", {"run": [RUN, OTHER_RUN]}))
    assert "outputs and metrics are not compared" in page
    assert "0.89" not in page


def test_a_collected_output_is_told_as_such(project: Project, site: Site) -> None:
    publish(project.store)
    assert collect(project.store) == ["removed"]
    page = text_of(site.render(RUN_PAGE))
    assert re.search(r"Collected 20\S+ \S+ by ana@laptop", page)
    assert "doit pull" not in page
    with pytest.raises(UsageError, match="was collected"):
        site.render(f"runs/{RUN}/file-0.html")


def test_runs_that_come_while_it_is_open_are_shown(project: Project, site: Site) -> None:
    publish(project.store)
    assert "1 run" in text_of(site.render("pipelines/words/runs.html"))
    publish_failed(project.store, OTHER_RUN)
    assert "2 runs" in text_of(site.render("pipelines/words/runs.html"))


def test_a_page_says_that_the_index_cannot_be_written(shop: Monorepo) -> None:
    (shop.root.parent / "caches").write_text("a file")
    project = project_of(shop, DAINTREE_CACHE=str(shop.root.parent / "caches"))
    publish(project.store)
    page = text_of(Site(project, live=True).render("pipelines/words/runs.html"))
    assert "1 run" in page
    assert "The index of runs cannot be written" in page
