"""The pipelines of the page "your own data", on made-up files in the formats of those it names."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.documentation.page import blocks
from tests.e2e.projects import DOIT, REPOSITORY

PAGE = REPOSITORY / "docs/how-to/your-own-data.md"
USERS, ITEMS = 12, 8
QUICK = ("train.epochs=1", "train.dimension=4")


def purchases() -> Iterator[tuple[int, int, int]]:
    """(user, item, number of the purchase): five by each user."""
    for user in range(USERS):
        for number in range(5):
            yield user, (user + number) % ITEMS, number


def movies(project: Path) -> None:
    lines = [f"{u},{i},4.0,{964982703 + n}" for u, i, n in purchases()]
    (project / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + "\n".join(lines))


def groceries(project: Path) -> None:
    directory = project / "instacart"
    directory.mkdir()
    orders, products = [], []
    for row, (user, item, number) in enumerate(purchases()):
        orders.append(f"{row},{user},prior,{number},2,08,{'' if number == 0 else '15.0'}")
        products.append(f"{row},{item},1,0")
    orders.append("999,1,test,6,2,08,15.0")
    header = (
        "order_id,user_id,eval_set,order_number,order_dow,order_hour_of_day,days_since_prior_order"
    )
    (directory / "orders.csv").write_text("\n".join([header, *orders]) + "\n")
    header = "order_id,product_id,add_to_cart_order,reordered"
    for part, rows in (("prior", products[1::2]), ("train", products[::2])):
        text = "\n".join([header, *rows]) + "\n"
        (directory / f"order_products__{part}.csv").write_text(text)
    (directory / "products.csv").write_text("product_id,product_name\n1,Tea\n")


def sales(project: Path) -> None:
    with sqlite3.connect(project / "sales.db") as database:
        database.execute("CREATE TABLE sales (customer TEXT, product TEXT, bought INTEGER)")
        database.executemany("INSERT INTO sales VALUES (?, ?, ?)", purchases())


@pytest.mark.parametrize("make", [movies, groceries, sales], ids=lambda make: make.__name__)
def test_a_pipeline_of_the_page_makes_a_recommender(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    project = tmp_path / "shop"
    subprocess.run(["git", "clone", "--quiet", REPOSITORY, project], check=True)
    for block in blocks(PAGE.read_text("utf-8")):
        path = project / block.subject
        path.parent.mkdir(exist_ok=True)
        path.write_text(block.body, encoding="utf-8")
    make(project)
    environment = {"DAINTREE_STORE": str(tmp_path / "store")}
    environment["DATABASE_URL"] = f"sqlite:///{project / 'sales.db'}"
    finished = subprocess.run(
        [DOIT, "run", make.__name__, *(f"--set={setting}" for setting in QUICK), "--json"],
        cwd=project,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    outputs = {s["name"]: Path(s["path"]) for s in json.loads(finished.stdout)["stages"]}
    last = {str(user): str((user + 4) % ITEMS) for user in range(USERS)}
    with (outputs["preprocess"] / "test.csv").open(newline="") as file:
        assert {row["user"]: row["item"] for row in csv.DictReader(file)} == last
    metrics = json.loads((outputs["evaluate"] / "metrics.json").read_text())
    assert (metrics["cases"], metrics["items"]) == (USERS, ITEMS)
