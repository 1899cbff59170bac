"""The types that requests and answers are made of, with their limits."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

LONGEST_NAME = 256
MOST_ANSWERS = 1000


def _whole(value: object) -> object:
    """JSON has one kind of number: by its schema, 3.0 is an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# The id of an item or a user; the example is an item of the bundled sample.
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME, examples=["B0000200"])]
# How many answers are wanted.
Count = Annotated[int, Field(ge=1, le=MOST_ANSWERS, examples=[10]), BeforeValidator(_whole)]


class Question(BaseModel):
    """The body of a request: of exactly these keys and types, nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Answer(BaseModel):
    """The body of an answer."""

    model_config = ConfigDict(extra="forbid")
