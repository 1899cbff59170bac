"""Recommendations and similar items over HTTP, from a model that item2vec/train wrote."""

from __future__ import annotations

import os
from typing import Annotated, Any

# One core answers; a second thread would only wait for the first.
os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"))

from fastapi import Query
from item2vec_model import Scoring, trained_purchases
from pydantic import Discriminator, Field, Tag
from recommender import Ranked, Recommender, read_recommender
from serving import Answer, Count, Name, NotKnown, Question, Service, serve
from serving.problems import responses

Names = Annotated[list[Name], Field(max_length=100)]


class Wanted(Question):
    """How many items are wanted, and which ones are not."""

    k: Count = 10
    exclude: Annotated[Names, Field(default_factory=list)]


class ByItems(Wanted):
    """What somebody bought, oldest first; unknown items are named in the answer, not an error."""

    items: Annotated[Names, Field(min_length=1)]


class ByUser(Wanted):
    """A user of the data the model was trained on."""

    user: Name


def _asks_by(body: Any) -> str:
    return "user" if isinstance(body, dict) and "items" not in body and "user" in body else "items"


# Told apart by their keys, so that a complaint is about the one that is meant.
Asked = Annotated[
    Annotated[ByItems, Tag("items")] | Annotated[ByUser, Tag("user")], Discriminator(_asks_by)
]


class Scored(Answer):
    """An item; the higher its score, the better it fits."""

    item: str
    score: float


class Items(Answer):
    """Items, best first: none of those asked with or excluded; `run` wrote the model."""

    items: list[Scored]
    unknown: list[str]
    run: str


def main(service: Service, *, decay: float, last_items: int, cooccurrence: float) -> None:
    """Add the routes to `service`."""
    scoring = Scoring(decay, last_items, cooccurrence)
    models = service.models(
        lambda directory: read_recommender(directory, scoring), trained_purchases
    )

    def answer(ranked: Ranked, asked: list[str], unknown: list[str]) -> Items:
        service.served(asked, unknown, [item for item, _ in ranked])
        scored = [Scored(item=item, score=score) for item, score in ranked]
        return Items(items=scored, unknown=unknown, run=service.run)

    @service.app.post("/recommend", responses=responses(404))
    async def recommend(query: Asked) -> Items:
        """The items to recommend next."""
        model: Recommender = models.current
        asked = query.items if isinstance(query, ByItems) else model.history(query.user)
        known, unknown = model.known(asked)
        if not known:
            service.served(asked, unknown)
            raise NotKnown("items", unknown) if asked else NotKnown("user", [query.user])
        return answer(model.recommend(known, query.k, query.exclude), asked, unknown)

    @service.app.get("/similar/{item:path}", responses=responses(404))
    async def similar(item: Name, k: Annotated[Count, Query()] = 10) -> Items:
        """The items that are bought in the same company."""
        model: Recommender = models.current
        if not model.known([item])[0]:
            service.served([item], [item])
            raise NotKnown("item", [item])
        return answer(model.similar(item, k), [item], [])


if __name__ == "__main__":
    serve(main)
