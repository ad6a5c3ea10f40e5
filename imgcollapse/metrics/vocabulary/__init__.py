"""The visual vocabulary: images as words, for any generator and without class labels.

codebook.py    small patches as words, learned from held-out real images
statistics.py  counts, entropy, unseen and lost words, perplexity
words.py       metrics of words, and the real images they are compared with
"""

from imgcollapse.metrics.vocabulary.codebook import Codebook, Vocabulary
from imgcollapse.metrics.vocabulary.words import TAIL_MASS, WORDS_LOST, WordMetrics, WordReference

__all__ = ["TAIL_MASS", "WORDS_LOST", "Codebook", "Vocabulary", "WordMetrics", "WordReference"]
