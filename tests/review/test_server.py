"""The page answers those who may, on the paths there are; everything else is refused."""

import http.client
import json
import logging
import socket
import struct
import time

import pytest

from imgcollapse.core.errors import UserError
from imgcollapse.io import checksums
from imgcollapse.tools.review import ReviewSession, Server
from imgcollapse.tools.review.server import MAX_BODY


@pytest.fixture
def server(serve, sitting):
    return serve(sitting)


@pytest.fixture
def ask(server):
    """Send a request as it stands; returns status, headers and body."""

    def call(method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        sent = {"Host": f"127.0.0.1:{server.port}", **headers}
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                connection.putheader(name.replace("_", "-"), value)
            if body is not None and "Content_Length" not in headers:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    return call


@pytest.fixture
def post(ask, server):
    def call(value, **headers):
        own = {"Origin": f"http://127.0.0.1:{server.port}"} | headers
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return ask("POST", f"/{server.token}/picks", body, **own)

    return call


def test_the_page_and_its_pictures_are_there_under_a_strict_policy(ask, server):
    status, headers, body = ask("GET", f"/{server.token}/")
    assert status == 200
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["Cache-Control"] == "no-store"
    assert b"http://" not in body
    assert b"https://" not in body
    status, headers, body = ask("GET", f"/{server.token}/sheet/1.png")
    assert (status, body[:4]) == (200, b"\x89PNG")


def test_nobody_comes_in_without_the_token(ask, server):
    token = server.token
    wrong = ("", "x", token[:-1], token + "x", token.upper(), token.swapcase())
    for path in ("/", "/favicon.ico", "/picks", *(f"/{other}/" for other in wrong)):
        assert ask("GET", path)[0] == 403, path
        assert ask("POST", path, b"{}", Origin=f"http://127.0.0.1:{server.port}")[0] == 403


def test_a_name_that_points_here_is_not_this_host(ask, server):
    for host in ("evil.example", f"evil.example:{server.port}", "127.0.0.1", ""):
        assert ask("GET", f"/{server.token}/", Host=host)[0] == 403, host
    assert ask("GET", f"/{server.token}/", Host=f"localhost:{server.port}")[0] == 200


def test_another_page_cannot_post(post, ask, server):
    for origin in ("http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"):
        assert post({"picks": {}}, Origin=origin)[0] == 403, origin
    assert ask("GET", f"/{server.token}/", Origin="http://evil.example")[0] == 403
    assert ask("POST", f"/{server.token}/picks", b"{}")[0] == 403  # none at all


def test_only_known_paths_are_answered(ask, server):
    for path in (
        "..%2f..%2frun.json",
        "%2e%2e/run.json",
        "../run.json",
        "sheet/2.png",
        "sheet/..%2f0.png",
        "sheet/-1.png",
        "?x",
        "index.html",
        "picks/",
        "/",
        "//etc/passwd",
    ):
        assert ask("GET", f"/{server.token}/{path}")[0] == 404, path


def test_only_known_methods_are_answered(ask, server):
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"):
        own = f"http://127.0.0.1:{server.port}"
        assert ask(method, f"/{server.token}/", Origin=own)[0] == 405, method
    assert ask("GET", f"/{server.token}/picks")[0] == 405
    assert ask("BREW", f"/{server.token}/")[0] == 405


def test_a_huge_body_is_refused_unread(post):
    for length in (str(MAX_BODY + 1), "9" * 20):
        assert post(b"", Content_Length=length)[0] == 413, length
    for length in ("-1", "many", "", "²"):
        assert post(b"", Content_Length=length.encode())[0] == 400, length


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        {"picks": {"500": {"verdict": "keep", "at": 0}}},
        {"picks": {"-1": {"verdict": "keep", "at": 0}}},
        {"picks": {"1": {"verdict": "love", "at": 0}}},
        {"picks": {"1": {"verdict": "class", "class": "dog", "at": 0}}},
        {"picks": {"1": {"verdict": "class", "at": 0}}},
        {"picks": {"1": {"verdict": "keep", "class": "3", "at": 0}}},
        {"lineage": 1},
    ],
)
def test_a_body_that_is_no_verdict_is_refused_in_one_line_and_nothing_written(post, run, body):
    status, _, said = post(body)
    assert status == 400
    assert said.count(b"\n") == 1
    assert len(said) < 400
    assert not (run / "picks").exists()


def test_verdicts_are_on_disk_when_the_answer_comes(post, run, sitting):
    before = time.time_ns() // 1_000_000
    status, _, _ = post({"picks": {"7": {"verdict": "class", "class": "3", "at": 5}}})
    assert status == 200
    written = json.loads((run / "picks/gen_001.json").read_text())
    assert written["picks"]["7"]["class"] == "3"
    assert written["picks"]["7"]["at"] >= before  # the server's clock, not the page's
    assert written["samples"] == sitting.target.samples
    assert not list((run / "picks").glob("*.tmp"))


def test_two_tabs_keep_each_others_work_and_the_last_word_holds(post, sitting):
    assert post({"picks": {"1": {"verdict": "keep", "at": 0}}})[0] == 200
    assert post({"picks": {"2": {"verdict": "reject", "at": 0}}})[0] == 200
    _, _, answer = post({"picks": {"1": {"verdict": "nonsense", "at": 0}}})
    heard = json.loads(answer)["picks"]
    assert {row: pick["verdict"] for row, pick in heard.items()} == {"1": "nonsense", "2": "reject"}
    assert {row: pick.verdict for row, pick in sitting.picks.reviewed.items()} == {
        1: "nonsense",
        2: "reject",
    }
    newest = max(pick["at"] for pick in heard.values())
    _, _, answer = post({"since": newest + 1})
    assert json.loads(answer)["picks"] == {}


def test_done_is_a_word_of_its_own_and_can_be_taken_back(post, sitting):
    post({"finished": True})
    post({"picks": {"1": {"verdict": "keep", "at": 0}}})
    assert sitting.picks.finished
    post({"finished": False})
    assert not sitting.picks.finished
    assert len(sitting.picks.reviewed) == 1


def test_a_verdict_counts_also_after_one_from_a_fast_clock(post, run, sitting):
    ahead = {"1": {"verdict": "keep", "at": 2**52}}
    post({"picks": {"2": {"verdict": "keep", "at": 0}}})
    path = run / "picks/gen_001.json"
    checksums.write_json(path, checksums.read_json(path, "") | {"picks": ahead})
    _, _, answer = post({"since": 0})
    heard = max(pick["at"] for pick in json.loads(answer)["picks"].values())
    assert heard < 2**51, "a tab that has heard of the future is deaf to all that is said after"
    post({"picks": {"1": {"verdict": "reject", "at": 0}}})
    assert sitting.picks.reviewed[1].verdict == "reject"


def test_done_can_be_taken_back_also_from_the_fastest_of_clocks(post, run, sitting):
    post({"finished": True})
    path = run / "picks/gen_001.json"
    checksums.write_json(path, checksums.read_json(path, "") | {"finished_at": 2**53 - 1})
    assert post({"finished": False})[0] == 200
    assert not sitting.picks.finished


def test_no_name_server_is_asked(sitting, monkeypatch):
    def asked(*_):
        raise AssertionError

    monkeypatch.setattr(socket, "getfqdn", asked)
    with Server(sitting) as server:
        assert server.url.startswith(f"http://127.0.0.1:{server.port}/")


def test_a_damaged_file_is_not_overwritten(post, ask, run, server):
    (run / "picks").mkdir()
    path = run / "picks/gen_001.json"
    path.write_text('{"half')
    status, _, said = post({"picks": {"1": {"verdict": "keep", "at": 0}}})
    assert status == 500
    assert b"gen_001.json" in said
    assert path.read_text() == '{"half'
    assert ask("GET", f"/{server.token}/")[0] == 500


def test_only_this_machine_is_served(sitting):
    for host in ("0.0.0.0", "192.168.1.4", "::", "example.org", "", "127.0.0.1.example.org"):
        with pytest.raises(UserError, match="--host") as refused:
            Server(sitting, host)
        assert "\n" not in str(refused.value)
    with Server(sitting, "localhost") as server:
        assert server.address == "127.0.0.1"


def test_a_port_that_is_taken_is_one_line(sitting, server):
    with pytest.raises(UserError, match="choose another"):
        Server(sitting, port=server.port)


def test_silent_connections_do_not_keep_the_server_from_closing(serve, sitting):
    server = serve(sitting)
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
    silent[1].sendall(b"POST /")
    while server.connections < len(silent):
        time.sleep(0.01)
    server.shutdown()
    server.close()
    for connection in silent:
        assert connection.recv(1000) == b""
        connection.close()


def test_the_token_differs_from_sitting_to_sitting(sitting: ReviewSession):
    with Server(sitting) as one, Server(sitting) as two:
        assert one.token != two.token
        assert len(one.token) >= 32


def test_a_browser_that_has_gone_is_not_reported(server, ask, caplog):
    """It resets its connection instead of reading the answer."""
    request = f"GET /{server.token}/ HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n"
    for _ in range(5):
        gone = socket.create_connection(("127.0.0.1", server.port))
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.sendall(request.encode())
        gone.close()
    assert ask("GET", f"/{server.token}/")[0] == 200
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


def test_an_error_of_our_own_is_reported(server, ask, monkeypatch, caplog):
    def broken(*_, **__):
        raise RuntimeError("of its own")

    monkeypatch.setattr("imgcollapse.tools.review.server.render", broken)
    status, _, body = ask("GET", f"/{server.token}/")
    assert (status, body) == (500, b"Internal Server Error\n")
    assert "RuntimeError: of its own" in caplog.text
