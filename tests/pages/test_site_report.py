"""Reports: files that lead to one another and need nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from daintree.errors import UsageError
from daintree.pages.project import Project
from daintree.pages.site import write_report
from tests.contract.runs import OTHER_RUN, publish, publish_failed


def test_every_link_of_a_report_leads_to_a_file_of_it(project: Project, tmp_path: Path) -> None:
    publish(project.store)
    publish_failed(project.store, OTHER_RUN)
    directory = tmp_path / "report"
    count = write_report(project, ["words"], directory)
    pages = list(directory.rglob("*.html"))
    assert len(pages) == count == 6
    for page in pages:
        text = page.read_text(encoding="utf-8")
        links = re.findall(r'(?:href|src)="([^"#]+)', text)
        assert links
        for link in links:
            assert (page.parent / link).resolve().is_file(), (page, link)
        assert "://" not in text
        assert not re.search(r"<script>|<style|\sstyle=", text)


def test_a_report_replaces_an_earlier_one_and_nothing_else(
    project: Project, tmp_path: Path
) -> None:
    directory = tmp_path / "report"
    write_report(project, ["words"], directory)
    (directory / "old.html").touch()
    write_report(project, ["words"], directory)
    assert not (directory / "old.html").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds something that is no report"):
        write_report(project, ["words"], other)
    with pytest.raises(UsageError, match=r"thesis.txt/report cannot be written"):
        write_report(project, ["words"], other / "thesis.txt" / "report")
    assert (other / "thesis.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".r")) == []


def test_a_report_of_no_pipeline_is_an_error(project: Project, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="wrods"):
        write_report(project, ["wrods"], tmp_path / "report")
    assert not (tmp_path / "report").exists()
