"""Serves the review page on this machine, to whoever knows the token in its address.

A loopback address keeps other machines out, but not other pages in the same browser: so every
request must name this server as its host, come from this page if it has an origin, and carry the
token.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from threading import Event, Lock
from typing import Any, Self

from flask import Flask, Response, abort, jsonify, request
from pydantic import BaseModel, ConfigDict, ValidationError
from waitress import wasyncore
from waitress.server import create_server
from werkzeug.exceptions import HTTPException

from imgcollapse.core.errors import UserError
from imgcollapse.core.sanitize import first_line
from imgcollapse.curation import Pick, Picks
from imgcollapse.curation.picks_file import Milliseconds, Row, first_problem, now_ms
from imgcollapse.tools.review.page import png_sheets, render
from imgcollapse.tools.review.session import ReviewSession

MAX_BODY = 2**20
"""Bytes of a request; one verdict takes about a hundred."""
TIMEOUT = 60
"""Seconds that a connection may be silent."""
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class PostedPicks(BaseModel):
    """The JSON that the page posts: verdicts as in `Picks`; their times are set by the server."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    picks: dict[Row, Pick] = {}
    finished: bool | None = None
    since: Milliseconds = 0


class Server:
    """Serves a session's page at `url`: `serve_forever` until `shutdown`, then `close`."""

    def __init__(self, session: ReviewSession, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listens at a port, or at a free one if it is 0.

        Raises:
            UserError: the host is not a loopback address, or the port cannot be used.
        """
        address = _loopback(host)
        ipv6 = address.version == 6
        family = socket.AF_INET6 if ipv6 else socket.AF_INET
        try:
            listener = socket.create_server((str(address), port), family=family)
        except (OSError, OverflowError) as error:
            raise UserError(
                f"--port: {port} cannot be used ({first_line(error)}); choose another"
            ) from None
        self.session, self.address, self.port = session, str(address), listener.getsockname()[1]
        self.token = secrets.token_urlsafe(24)
        name = f"[{address}]" if ipv6 else self.address
        self.hosts = {f"{each}:{self.port}" for each in (name, "localhost")}
        self.url = f"http://{name}:{self.port}/{self.token}/"
        self._sheets = png_sheets(session.images.pixels)
        self._writing, self._stopping = Lock(), Event()
        self._channels: dict[int, Any] = {}
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a browser asks all at once
        self._server: Any = create_server(
            self._app(),
            map=self._channels,
            sockets=[listener],
            ident="imgcollapse",
            max_request_body_size=MAX_BODY + 1,
            channel_timeout=TIMEOUT,
            cleanup_interval=TIMEOUT,
            log_socket_errors=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._server.active_channels)

    def serve_forever(self) -> None:
        """Answer requests until `shutdown`."""
        while not self._stopping.is_set():
            wasyncore.loop(timeout=1, map=self._channels, count=1)

    def shutdown(self) -> None:
        """End `serve_forever`, from any thread."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._server.pull_trigger()

    def close(self) -> None:
        """Finish requests in progress, end all threads, and close all connections."""
        self._stopping.set()
        self._server.task_dispatcher.shutdown()
        for channel in list(self._server.active_channels.values()):
            channel.handle_close()
        self._server.close()

    def save(self, posted: PostedPicks) -> Picks:
        """Write verdicts to disk with the current time; returns all verdicts that hold.

        Raises:
            ValueError: they are not about this generation.
            UserError: they cannot be written.
        """
        target = self.session.target
        with self._writing:
            # A verdict given now is the latest, even if a file was written by a fast clock.
            now = now_ms()
            saved = self.session.picks.clip_times(now)
            given = {row: pick.model_copy(update={"at": now}) for row, pick in posted.picks.items()}
            changes: dict[str, Any] = {"picks": given}
            if posted.finished is not None:
                changes["finished"] = posted.finished
                changes["finished_at"] = max(now, saved.finished_at + 1)
            new = Picks.empty(target).model_copy(update=changes)
            new.check(target)
            return saved if changes == {"picks": {}} else self.session.merge_picks(new, now)

    def _app(self) -> Flask:
        app = Flask(__name__, static_folder=None)
        app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
        app.url_map.merge_slashes = False
        app.before_request(self._authorize)
        app.after_request(_add_headers)
        app.register_error_handler(HTTPException, lambda error: _text(error.code or 500))
        app.register_error_handler(UserError, lambda error: _text(500, str(error)))
        app.add_url_rule("/<token>/", view_func=self._page)
        app.add_url_rule("/<token>/sheet/<int:number>.png", view_func=self._sheet)
        app.add_url_rule("/<token>/picks", view_func=self._picks, methods=["POST"])
        return app

    def _authorize(self) -> None:
        origin, token = request.headers.get("Origin"), request.path.split("/")[1]
        if (
            request.headers.get("Host") not in self.hosts
            or (origin is None and request.method == "POST")
            or (origin is not None and origin.removeprefix("http://") not in self.hosts)
            or not hmac.compare_digest(token.encode(), self.token.encode())
        ):
            abort(403)
        if request.query_string:
            abort(404)
        if request.method == "HEAD":  # which Flask would answer as GET
            abort(405)

    def _page(self, token: str) -> Response:
        sheets = [f"sheet/{i}.png" for i in range(len(self._sheets))]
        page, policy = render(self.session, sheets, served=True)
        response = Response(page)
        response.headers["Content-Security-Policy"] = f"{policy}; frame-ancestors 'none'"
        return response

    def _sheet(self, token: str, number: int) -> Response:
        if number >= len(self._sheets):
            abort(404)
        return Response(self._sheets[number], mimetype="image/png")

    def _picks(self, token: str) -> Response:
        """Save what is posted; answer with what changed since the page last asked."""
        try:
            posted = PostedPicks.model_validate_json(request.get_data())
            picks = self.save(posted)
        except ValidationError as error:
            return _text(400, first_problem(error))
        except ValueError as error:
            return _text(400, str(error))
        changed = picks.model_dump(mode="json")
        since = {row: pick for row, pick in changed["picks"].items() if pick["at"] >= posted.since}
        return jsonify(changed | {"picks": since})


def serve(session: ReviewSession, host: str, port: int, log: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        UserError: the host is not a loopback address, or the port cannot be used.
    """
    with Server(session, host, port) as server:
        log(f"Review at {server.url}")
        log("Each verdict is saved at once; Ctrl-C ends.")
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def _add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _text(status: int, message: str = "") -> Response:
    text = (message or HTTPStatus(status).phrase) + "\n"
    return Response(text, status, mimetype="text/plain")


def _loopback(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise UserError(
            f"--host: {host!r} can be reached from other machines; use 127.0.0.1, and ssh -L from "
            "elsewhere"
        )
    return address
