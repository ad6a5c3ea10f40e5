import sys

import pytest

from imgcollapse import cli


@pytest.fixture
def imgcollapse(monkeypatch, capsys, tmp_path):
    """Run the command line here; returns exit code, stdout and stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["imgcollapse", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    monkeypatch.chdir(tmp_path)
    return call
