"""The model that item2vec/train writes: its schema, its vectors, the scores it gives, what it was trained on."""

from .schema import DESCRIPTION, SCHEMA, check_description, read_description, write_description
from .scoring import Followers, Scorer, Scoring, followers_of, scorer_of
from .training import trained_purchases
from .vectors import Model, read_model

__all__ = [
    "DESCRIPTION",
    "SCHEMA",
    "Followers",
    "Model",
    "Scorer",
    "Scoring",
    "check_description",
    "followers_of",
    "read_description",
    "read_model",
    "scorer_of",
    "trained_purchases",
    "write_description",
]
