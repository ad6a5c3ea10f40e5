"""The visual vocabulary: images as words, for any generator and without class labels.

codebook.py  small patches as words, learned from held-out real images
tally.py     how often words occur, and in how many images; what is read off that
language.py  perplexity under a unigram or bigram model
words.py     the words of a generation beside those of the real images
"""

from imgcollapse.metrics.vocabulary.codebook import Codebook, Vocabulary
from imgcollapse.metrics.vocabulary.words import TAIL_MASS, WORDS_LOST, WordMetrics, WordReference

__all__ = ["TAIL_MASS", "WORDS_LOST", "Codebook", "Vocabulary", "WordMetrics", "WordReference"]
