"""Review of samples in the browser: people keep, reject and name them.

session.py  the samples to review, in order; the verdicts against the oracle, as text
page.py     the HTML page, served or exported
server.py   serves the page on this machine; every verdict is saved at once
"""

from imgcollapse.tools.review.page import export
from imgcollapse.tools.review.server import Server, serve
from imgcollapse.tools.review.session import ReviewSession, progress, summarize

__all__ = ["ReviewSession", "Server", "export", "progress", "serve", "summarize"]
