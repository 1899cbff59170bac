"""A connection to a database whose URL is a secret: no message has any of it."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.engine import URL, CursorResult, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from stageio import StageError

Execute = Callable[[str], CursorResult[Any]]
DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "sqlite": "sqlite"}
FORMS = "postgresql://USER:PASSWORD@HOST:PORT/NAME, or sqlite:////PATH"


@contextmanager
def connected(text: str, name: str) -> Iterator[Execute]:
    """A function that runs a query, whose rows are read as they come, in one read-only transaction.

    Raises StageError, also for what fails while rows are read; `name` is that of the query's file.
    """
    url, hint = parse(text), "is the database there, and the URL right?"
    try:
        engine = create_engine(url)
        with engine.connect() as connection:
            hint = "run it by hand; what Python has no value for can be cast to text"
            if engine.name == "postgresql":
                connection.execution_options(postgresql_readonly=True)
                # Casts to text depend on it.
                connection.exec_driver_sql("SET TIME ZONE 'UTC'")
            else:
                connection.exec_driver_sql("PRAGMA query_only = ON")

            options = {"stream_results": True, "no_parameters": True}
            yield lambda query: connection.exec_driver_sql(query, execution_options=options)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or type(error).__name__).strip()
        first = without(url, text, reason.partition("\n")[0])
        raise StageError(f"{name}: the database says: {first}", hint) from None


def parse(text: str) -> URL:
    """The URL with its driver. Raises StageError, without the URL, where it cannot be one."""
    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError):
        raise StageError("the database's URL cannot be read", f"it is {FORMS}") from None
    kind = url.drivername.partition("+")[0]
    if kind not in DRIVERS:
        raise StageError("the database's URL is of a kind that is not known", f"it is {FORMS}")
    if kind == "sqlite" and not (url.database and Path(url.database).is_file()):
        raise StageError(
            "the database's URL: no such SQLite file", "sqlite://// and the whole path"
        )
    return url.set(drivername=DRIVERS[kind])


def without(url: URL, text: str, message: str) -> str:
    """A message with every part of the URL left out."""
    parts = [text.strip(), url.password, url.username, url.host, url.database, *url.query.values()]
    shown = sorted({str(part) for part in parts if part}, key=len, reverse=True)
    return re.sub(
        "|".join(rf"(?<!\w){re.escape(part)}(?!\w)" for part in shown) or "(?!)", "…", message
    )
