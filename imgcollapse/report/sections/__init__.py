"""Sections of the page, one class each. A new one: its file, and its line in `SECTIONS`."""

from imgcollapse.report.section import Section
from imgcollapse.report.sections.by_generation import ByGeneration
from imgcollapse.report.sections.citation import Citation
from imgcollapse.report.sections.curation import Curation
from imgcollapse.report.sections.curves import Curves
from imgcollapse.report.sections.differences import Differences
from imgcollapse.report.sections.drift import Drift
from imgcollapse.report.sections.first_detection import FirstDetection
from imgcollapse.report.sections.header import Header
from imgcollapse.report.sections.last_detected import LastDetected
from imgcollapse.report.sections.metrics import Metrics
from imgcollapse.report.sections.oracle import Oracle
from imgcollapse.report.sections.samples import Samples
from imgcollapse.report.sections.vanishing_grid import VanishingGrid
from imgcollapse.report.sections.vocabulary import Words

SECTIONS: tuple[Section, ...] = (
    Header(),
    VanishingGrid(),
    Drift(),
    LastDetected(),
    Curation(),
    Differences(),
    Curves(),
    ByGeneration(),
    Metrics(),
    Words(),
    FirstDetection(),
    Samples(),
    Oracle(),
    Citation(),
)
"""In page order; a section that does not apply to a page's runs is left out."""

__all__ = ["SECTIONS"]
