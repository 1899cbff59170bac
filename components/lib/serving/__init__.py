"""What every service of a model shares: its model, health, metrics, provenance, reload, end, and its monitor."""

from .bodies import Answer, Count, Name, Question
from .entrypoint import serve
from .models import Counts, Models
from .monitoring import monitor
from .problems import NotKnown
from .service import Service

__all__ = [
    "Answer",
    "Count",
    "Counts",
    "Models",
    "Name",
    "NotKnown",
    "Question",
    "Service",
    "monitor",
    "serve",
]
