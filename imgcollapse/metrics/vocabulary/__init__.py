"""The visual vocabulary: images as words, for any generator and without class labels."""

from imgcollapse.metrics.vocabulary.codebook import Codebook, Vocabulary
from imgcollapse.metrics.vocabulary.words import TAIL_MASS, WORDS_LOST, WordMetrics, WordReference

__all__ = ["TAIL_MASS", "WORDS_LOST", "Codebook", "Vocabulary", "WordMetrics", "WordReference"]
