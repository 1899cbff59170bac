"""Skip-gram with negative sampling over item sequences, by gensim: the same bytes every time.

One worker makes gensim deterministic. It sums the loss of a call of `train` in one float32, which
soon is too large to add to: an epoch is several calls, each of a part of the sequences.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from gensim.models import Word2Vec  # type: ignore[import-untyped]
from hyperparameters import Hyperparameters
from numpy.typing import NDArray
from stageio import StageError, progress

Matrix = NDArray[np.float32]
Sequences = list[list[str]]

PURCHASES_AT_ONCE = 200_000
# gensim drops what goes beyond this in one sequence.
LONGEST_SEQUENCE = 10_000


@dataclass(frozen=True)
class Model:
    """The items, sorted, a row of each matrix for each, and the loss of each epoch.

    `vectors` are the input vectors, which stand for what a user bought; `context_vectors` are
    the output vectors, which stand for what is bought near it. A loss is the negative sampling
    loss over all pairs of the epoch, divided by the number of purchases.
    """

    items: list[str]
    vectors: Matrix
    context_vectors: Matrix
    losses: list[float]


def train(sequences: Sequences, hyperparameters: Hyperparameters) -> Model:
    """The model of these sequences; a progress bar on stderr has the loss of the latest epoch.

    The same sequences and hyperparameters give the same model, bit by bit, on one kind of
    machine. Raises StageError when no item is left to train on.
    """
    word2vec = _untrained(sequences, hyperparameters)
    epochs = _epochs(word2vec, sequences, hyperparameters)
    losses = list(progress(epochs, hyperparameters.epochs, "epochs", note="loss {:.4f}".format))
    items = sorted(word2vec.wv.key_to_index)
    rows = [word2vec.wv.key_to_index[item] for item in items]
    return Model(items, word2vec.wv.vectors[rows], word2vec.syn1neg[rows], losses)


def _untrained(sequences: Sequences, hyperparameters: Hyperparameters) -> Any:
    counts = Counter(item for sequence in sequences for item in sequence)
    if max(counts.values()) < hyperparameters.min_count:
        raise StageError(
            f"--min-count {hyperparameters.min_count}: no item has that many purchases",
            f"the most often bought item has {max(counts.values()):,}",
        )
    word2vec = Word2Vec(
        sg=1,
        hs=0,
        vector_size=hyperparameters.dimension,
        window=hyperparameters.window,
        shrink_windows=hyperparameters.shrink_windows,
        negative=hyperparameters.negative,
        ns_exponent=hyperparameters.ns_exponent,
        sample=hyperparameters.sample,
        min_count=hyperparameters.min_count,
        seed=hyperparameters.seed,
        workers=1,
        sorted_vocab=0,
    )
    # gensim's own sort leaves the order of items bought equally often to numpy, whose unstable
    # sort differs between processors.
    ranked = sorted(counts, key=lambda item: (-counts[item], item))
    word2vec.build_vocab_from_freq({item: counts[item] for item in ranked})
    return word2vec


def _epochs(
    word2vec: Any, sequences: Sequences, hyperparameters: Hyperparameters
) -> Iterator[float]:
    parts = list(parts_of(sequences))
    purchases = sum(map(len, sequences))
    # The learning rate falls in proportion to the sequences that are done.
    ends = np.cumsum([0, *map(len, parts)]) / sum(map(len, parts))
    fall = hyperparameters.alpha - hyperparameters.min_alpha
    for epoch in range(hyperparameters.epochs):
        alphas = hyperparameters.alpha - fall * (epoch + ends) / hyperparameters.epochs
        loss = 0.0
        for part, start, end in zip(parts, alphas, alphas[1:], strict=False):
            # gensim takes 0 for a rate that is not given.
            rates = {"start_alpha": start, "end_alpha": max(end, 1e-12)}
            word2vec.train(part, total_examples=len(part), epochs=1, compute_loss=True, **rates)
            loss += float(word2vec.get_latest_training_loss())
        yield loss / purchases


def parts_of(
    sequences: Sequences, purchases: int = PURCHASES_AT_ONCE, longest: int = LONGEST_SEQUENCE
) -> Iterator[Sequences]:
    """Yield the sequences in order, in parts of about `purchases`, none longer than `longest`."""
    part: Sequences = []
    size = 0
    for sequence in sequences:
        for start in range(0, len(sequence), longest):
            part.append(sequence[start : start + longest])
            size += len(part[-1])
            if size >= purchases:
                yield part
                part, size = [], 0
    if part:
        yield part
