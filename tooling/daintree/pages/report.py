"""Report: the pages of pipelines as files, which need no server and no network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from daintree.errors import DaintreeError, UsageError
from daintree.pages.project import Project
from daintree.pages.site import PLOTLY, STATIC, Site, included_pages, plotly_script

MOST_RUNS = 100
# Marks a directory that a report may be written into again.
MARKER = ".daintree-report"


def write_report(project: Project, pipelines: Sequence[str], directory: Path) -> int:
    """Write the pages of these pipelines into a directory, which is new, empty or an earlier report; return their number.

    The directory is replaced as a whole once all is written. A page that cannot be made says why. Raises UsageError for
    a directory that holds anything else, and as `Site.render` does for a pipeline that does not exist.
    """
    directory = Path(os.path.abspath(directory))
    _check(directory)
    site = Site(project, live=False)
    paths = included_pages(site, pipelines, MOST_RUNS)
    site.pipelines, site.included = pipelines, frozenset(paths).__contains__
    # Without an engine or a registry the pages say so.
    with suppress(DaintreeError):
        site.images = project.images()
    fresh = directory.with_name(f".{directory.name}.{os.getpid()}")
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


def _check(directory: Path) -> None:
    if not directory.exists() and not directory.is_symlink():
        directory.parent.mkdir(parents=True, exist_ok=True)
        return
    if directory.is_symlink() or not directory.is_dir():
        raise UsageError(
            f"{directory} is no directory", hint="name one with --out, or remove what is there"
        )
    if any(directory.iterdir()) and not (directory / MARKER).exists():
        raise UsageError(
            f"{directory} holds something that is no report", hint="name another one with --out"
        )
