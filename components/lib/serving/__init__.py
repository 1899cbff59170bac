"""What every service of a model shares: its model, health, metrics, provenance, reload and end."""

from .bodies import Answer, Count, Name, Question
from .entrypoint import serve
from .models import Models
from .problems import NotKnown
from .service import Service

__all__ = [
    "Answer",
    "Count",
    "Models",
    "Name",
    "NotKnown",
    "Question",
    "Service",
    "serve",
]
