"""Signals are noted, and obeyed where the work says so."""

import signal

import pytest

from imgcollapse.core import signals
from imgcollapse.core.errors import Stopped

pytestmark = pytest.mark.usefixtures("hears_interrupts")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1], ids=lambda s: s.name)
def test_what_schedulers_send_is_heeded_later(number):
    before = signal.getsignal(number)
    with signals.catch_signals():
        signals.raise_if_stop_requested()
        signal.raise_signal(number)
        assert signals.stop_requested()
        with pytest.raises(Stopped, match=number.name):
            signals.raise_if_stop_requested()
    assert signal.getsignal(number) is before
    assert not signals.stop_requested()


def test_a_second_interrupt_is_obeyed_at_once():
    with signals.catch_signals():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signals.raise_if_stop_requested()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_who_is_deaf_stays_deaf():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with signals.catch_signals():
            signal.raise_signal(signal.SIGTERM)
            assert not signals.stop_requested()
    finally:
        signal.signal(signal.SIGTERM, before)
