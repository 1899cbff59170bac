"""Skip-gram with negative sampling over item sequences, by gensim: the same bytes every time.

gensim's own training loop passes batches through a queue to worker threads, and sums the loss of
a whole run in one float32, which soon is too large to add to. Here its compiled step is called
batch by batch on one thread; the vectors are those of gensim's loop with one worker.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from gensim.models.word2vec import MAX_WORDS_IN_BATCH, Word2Vec  # type: ignore[import-untyped]
from gensim.models.word2vec_inner import train_batch_sg  # type: ignore[import-untyped]
from hyperparameters import Hyperparameters
from numpy.typing import NDArray
from stageio import StageError, progress

Matrix = NDArray[np.float32]
Sequences = list[list[str]]


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
    batches = list(batched(sequences))
    purchases = sum(map(len, sequences))
    sequences_in_all = sum(map(len, batches))
    work = np.zeros(hyperparameters.dimension, dtype=np.float32)
    for epoch in range(hyperparameters.epochs):
        loss, done = 0.0, 0
        for batch in batches:
            share = (epoch + done / sequences_in_all) / hyperparameters.epochs
            fall = (hyperparameters.alpha - hyperparameters.min_alpha) * share
            word2vec.running_training_loss = 0.0
            train_batch_sg(word2vec, batch, hyperparameters.alpha - fall, work, True)
            loss += float(word2vec.running_training_loss)
            done += len(batch)
        yield loss / purchases


def batched(sequences: Sequences, purchases: int = MAX_WORDS_IN_BATCH) -> Iterator[Sequences]:
    """Yield the sequences in order in batches of at most `purchases` in all.

    A longer sequence is cut into several, since the compiled step would drop what goes beyond.
    """
    batch: Sequences = []
    size = 0
    for sequence in sequences:
        for start in range(0, len(sequence), purchases):
            piece = sequence[start : start + purchases]
            if size + len(piece) > purchases:
                yield batch
                batch, size = [], 0
            batch.append(piece)
            size += len(piece)
    if batch:
        yield batch
