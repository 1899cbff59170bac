"""The model that item2vec/train writes: its schema, its vectors, the scores it gives."""

from .schema import DESCRIPTION, SCHEMA, check_description, write_description
from .vectors import Model, read_model

__all__ = [
    "DESCRIPTION",
    "SCHEMA",
    "Model",
    "check_description",
    "read_model",
    "write_description",
]
