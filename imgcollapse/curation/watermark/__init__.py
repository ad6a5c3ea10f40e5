"""A filter that marks samples with a key, and removes images that bear the mark.

filter.py            the filter and its metrics
spread_transform.py  embedding and detection of the mark
attacks.py           distortions under which detection is measured
"""

from imgcollapse.curation.watermark.filter import Watermark

__all__ = ["Watermark"]
