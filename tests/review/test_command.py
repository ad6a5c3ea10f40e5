"""The command: what a user sees, and that bad input is one line."""

import http.client
import json
import re
import signal
import socket
import sys
import threading
import time

import pytest

from imgcollapse import cli
from imgcollapse.curation import Pick, Picks
from imgcollapse.tools.review import ReviewSession


@pytest.fixture
def review(monkeypatch, capsys, run):
    """Run `imgcollapse review RUN ...` here; returns exit code, stdout and stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["imgcollapse", "review", *map(str, [run, *arguments])])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return call


def test_bad_input_is_one_line(review, run, tmp_path):
    (tmp_path / "broken.json").write_text("{")
    for arguments, says in {
        ("--host", "0.0.0.0"): "can be reached from other machines",
        ("--generation", "7"): "--generation: 7 does not exist",
        ("--lineage", "1"): "--lineage: 1 does not exist",
        ("--import", tmp_path / "broken.json"): "no valid picks",
        ("--import", tmp_path / "nowhere.json"): "nowhere.json: No such file",
        ("--export", "/proc/page.html"): "/proc/page.html",
    }.items():
        code, out, err = review(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1), arguments
        assert says in err
    assert not (run / "picks").exists()


def test_picks_come_back_merge_and_are_summed_up(review, run, tmp_path):
    sitting = ReviewSession.open(run)
    rows = sitting.random_order[:30]
    keep = {str(row): Pick(verdict="keep", at=5) for row in rows[1:]}
    theirs = Picks.empty(sitting.target).model_copy(
        update={"picks": keep | {str(rows[0]): Pick(verdict="nonsense", at=2**52)}}
    )
    mine = theirs.model_copy(update={"picks": {str(rows[1]): Pick(verdict="reject", at=9)}})
    mine.write(run)
    (tmp_path / "picks.json").write_text(theirs.model_dump_json())
    code, out, err = review("--import", tmp_path / "picks.json")
    assert code == 0, err
    assert out.splitlines()[0] == str(run / "picks/gen_001.json")
    assert "30 of 500 samples of generation 1 reviewed: 28 kept, 0 renamed, 1 rejected" in out
    assert "1 without a class are left out" in out
    written = json.loads((run / "picks/gen_001.json").read_text())["picks"]
    assert written[str(rows[1])]["verdict"] == "reject"  # said later
    assert written[str(rows[0])]["at"] < 2**51  # a fast clock is held back
    # Kept copies of real digits carry their true class: people and labels agree by definition.
    counted, labels = sitting.counted, sitting.images.labels
    agreed = sum(int(counted[row] == labels[row]) for row in rows[2:])
    agreed += int(counted[rows[0]] == -1)
    assert f"random sample of 30 the oracle agrees with people on {agreed / 29:.1%}" in out
    assert review("--summary")[1].splitlines() == out.splitlines()[1:]


def test_only_a_prefix_of_the_random_order_is_a_random_sample(run):
    sitting = ReviewSession.open(run)
    order = sitting.random_order
    assert sorted(order) == list(range(500))
    assert order == ReviewSession.open(run).random_order
    picked = {str(row): Pick(verdict="keep", at=1) for row in [*order[:7], *order[8:20]]}
    picks = Picks.empty(sitting.target).model_copy(update={"picks": picked})
    assert sitting.random_reviewed(picks) == order[:7]
    shown = [row for group in sitting.groups for row in group.rows]
    assert sorted(shown) == list(range(500))  # each image comes up once
    assert shown[:100] == order[:100]


@pytest.mark.usefixtures("hears_interrupts")
def test_the_page_is_served_until_an_interrupt(review):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def interrupt():
        """Once somebody answers at the port."""
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            try:
                connection.request("GET", "/")
                assert connection.getresponse().status == 403
                break
            except ConnectionRefusedError:
                time.sleep(0.02)
            finally:
                connection.close()
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    code, out, err = review("--port", port)
    thread.join()
    assert (code, err) == (0, "")
    address, hint, end = out.splitlines()
    assert re.fullmatch(rf"Review at http://127\.0\.0\.1:{port}/[\w-]{{32}}/", address)
    assert "Ctrl-C" in hint
    assert end.startswith("0 of 500 samples of generation 1 reviewed")
