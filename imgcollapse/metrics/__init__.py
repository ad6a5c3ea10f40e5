"""How far a generation is from real images.

panel.py  every metric of a generation, for all and for each class, beside its floor
"""

from imgcollapse.metrics.panel import COLUMNS, RealSide, fid, kid

__all__ = ["COLUMNS", "RealSide", "fid", "kid"]
