"""The page on this machine alone, for whoever knows the token in its address.

Loopback keeps other machines out, but not the other pages in the same browser: so each request must
name this server as its host, come from this page if it comes from any, and carry the token.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import secrets
import socket
import sys
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Lock
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from imgcollapse.core.errors import UserError
from imgcollapse.core.sanitize import first_line
from imgcollapse.curation import Pick, Picks
from imgcollapse.curation.picks_file import Milliseconds, Row, first, milliseconds
from imgcollapse.tools.review.page import render, sheets
from imgcollapse.tools.review.session import ReviewSession

LARGEST_POST = 2**20
"""Bytes of a request; a verdict is some hundred."""
PATIENCE = 10
"""Seconds that a connection may stay silent."""


class Posted(BaseModel):
    """What the page sends: verdicts as in `Picks`, whose times are this server's to give."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    picks: dict[Row, Pick] = {}
    finished: bool | None = None
    since: Milliseconds = 0


class Server(ThreadingHTTPServer):
    """A sitting's page; `serve_forever` until `shutdown`, then `server_close`.

    Attributes:
        url: the page's address, token included.
    """

    daemon_threads = False  # so that server_close waits for them

    def __init__(self, sitting: ReviewSession, host: str = "127.0.0.1", port: int = 0) -> None:
        """
        Args:
            sitting: what there is to review.
            host: a loopback address.
            port: 0 takes a free one.

        Raises:
            UserError: the host is not loopback, or the port cannot be had.
        """
        address = _loopback(host)
        if address.version == 6:
            self.address_family = socket.AF_INET6
        self._writing = Lock()
        self._open: set[socket.socket] = set()
        try:
            super().__init__((str(address), port), _Handler)
        except (OSError, OverflowError) as error:
            raise UserError(
                f"--port: {port} cannot be had ({first_line(error)}); choose another"
            ) from None
        self.sitting = sitting
        self.sheets = sheets(sitting.images.pixels)
        self.pictures = [f"sheet/{i}.png" for i in range(len(self.sheets))]
        self.token = secrets.token_urlsafe(24)
        named = f"[{address}]" if address.version == 6 else str(address)
        self.hosts = {f"{name}:{self.server_port}" for name in (named, "localhost")}
        self.url = f"http://{named}:{self.server_port}/{self.token}/"

    def save(self, posted: Posted) -> Picks:
        """Write verdicts at once, with the time that it is now; returns all that stand.

        Raises:
            ValueError: they are not about this generation.
            UserError: they cannot be written.
        """
        subject = self.sitting.subject
        with self._writing:
            # What is said now is the latest, also where a file came from a clock that is fast.
            now = milliseconds()
            there = self.sitting.picks.not_after(now)
            given = {row: pick.model_copy(update={"at": now}) for row, pick in posted.picks.items()}
            said: dict[str, Any] = {"picks": given}
            if posted.finished is not None:
                said["finished"] = posted.finished
                said["finished_at"] = max(now, there.finished_at + 1)
            new = Picks.none(subject).model_copy(update=said)
            new.check(subject)
            return there if said == {"picks": {}} else self.sitting.accept_answer(new, now)

    def server_bind(self) -> None:
        """Take the port; the base would also ask a name server what this machine is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, and remember the connection for `server_close`."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End a connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that has gone, or was sent away by `server_close`, is no news."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        """End every connection, also those on which nobody has said anything, and every thread."""
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # ended already
                continue
        super().server_close()


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]
    timeout = PATIENCE
    server_version, sys_version = "imgcollapse", ""

    def answer(self) -> None:
        """Let in who may, then answer the few paths there are."""
        path, origin = self.path, self.headers.get("Origin")
        token, _, name = path.removeprefix("/").partition("/")
        if (
            self.headers.get("Host") not in self.server.hosts
            or (origin is None and self.command == "POST")
            or (origin is not None and origin.removeprefix("http://") not in self.server.hosts)
            or not hmac.compare_digest(token.encode(), self.server.token.encode())
        ):
            return self.say(HTTPStatus.FORBIDDEN)
        handlers = {"": self.page, "picks": self.picks}
        handlers |= dict.fromkeys(self.server.pictures, self.sheet)
        if name not in handlers:
            return self.say(HTTPStatus.NOT_FOUND)
        if self.command != ("POST" if name == "picks" else "GET"):
            return self.say(HTTPStatus.METHOD_NOT_ALLOWED)
        return handlers[name](name)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = answer  # noqa: N815

    def page(self, _: str) -> None:
        """The page, with all that was said so far."""
        try:
            page, policy = render(self.server.sitting, self.server.pictures, served=True)
        except UserError as error:
            return self.say(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        more = {"Content-Security-Policy": f"{policy}; frame-ancestors 'none'"}
        return self.send(HTTPStatus.OK, "text/html; charset=utf-8", page.encode(), more)

    def sheet(self, name: str) -> None:
        """A sheet of samples."""
        picture = self.server.sheets[self.server.pictures.index(name)]
        self.send(HTTPStatus.OK, "image/png", picture)

    def picks(self, _: str) -> None:
        """Save what is posted; answer with what has changed since the page last heard."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or len(length) > 15:
            return self.say(HTTPStatus.LENGTH_REQUIRED)
        if int(length) > LARGEST_POST:
            return self.say(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        try:
            posted = Posted.model_validate_json(self.rfile.read(int(length)))
            picks = self.server.save(posted)
        except ValidationError as error:
            return self.say(HTTPStatus.BAD_REQUEST, first(error))
        except ValueError as error:
            return self.say(HTTPStatus.BAD_REQUEST, str(error))
        except UserError as error:
            return self.say(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        changed = picks.model_dump(mode="json")
        changed["picks"] = {
            row: pick for row, pick in changed["picks"].items() if pick["at"] >= posted.since
        }
        return self.send(HTTPStatus.OK, "application/json", json.dumps(changed).encode())

    def say(self, status: HTTPStatus, words: str = "") -> None:
        """A line of text."""
        self.send(status, "text/plain; charset=utf-8", (words or status.phrase).encode() + b"\n")

    def send(
        self, status: HTTPStatus, kind: str, body: bytes, more: Mapping[str, str] | None = None
    ) -> None:
        """A whole answer, and what the browser must not do with it."""
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
        }
        for name, value in (headers | dict(more or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base's name)
        """Nothing: the terminal is for people."""


def serve(sitting: ReviewSession, host: str, port: int, say: Callable[[str], None]) -> None:
    """Show the page until Ctrl-C.

    Raises:
        UserError: the host is not loopback, or the port cannot be had.
    """
    server = Server(sitting, host, port)
    say(f"Review at {server.url}")
    say("Verdicts are saved as they are given; Ctrl-C ends.")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


def _loopback(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise UserError(
            f"--host: {host!r} is not this machine alone; use 127.0.0.1, and ssh -L from elsewhere"
        )
    return address
