"""The types that requests and answers are made of, with their limits."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

LONGEST_NAME = 256
MOST_ANSWERS = 1000

# The id of an item or a user.
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME, examples=["B004OHQR1Q"])]
# How many answers are wanted.
Count = Annotated[int, Field(ge=1, le=MOST_ANSWERS, examples=[10])]


class Question(BaseModel):
    """The body of a request: of exactly these keys and types, nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Answer(BaseModel):
    """The body of an answer."""

    model_config = ConfigDict(extra="forbid")
