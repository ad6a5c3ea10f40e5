"""Human picks: a page on which people keep, reject and name samples.

sitting.py   what there is to review, and in which order
page.py      one HTML page of it, served or exported
server.py    the page on this machine alone; every verdict is saved as it is given
summary.py   people against the oracle, as text
"""

from imgcollapse.tools.review.page import export
from imgcollapse.tools.review.server import Server, serve
from imgcollapse.tools.review.session import ReviewSession
from imgcollapse.tools.review.summary import progress, summarise

__all__ = ["ReviewSession", "Server", "export", "progress", "serve", "summarise"]
