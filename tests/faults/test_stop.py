"""Signals are noted, and obeyed where the work says so."""

import signal

import pytest

from imgcollapse.core import signals
from imgcollapse.core.errors import Stopped

pytestmark = pytest.mark.usefixtures("hears_interrupts")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1], ids=lambda s: s.name)
def test_what_schedulers_send_is_heeded_later(number):
    before = signal.getsignal(number)
    with signals.listening():
        signals.heed()
        signal.raise_signal(number)
        assert signals.asked()
        with pytest.raises(Stopped, match=number.name):
            signals.heed()
    assert signal.getsignal(number) is before
    assert not signals.asked()


def test_a_second_interrupt_is_obeyed_at_once():
    with signals.listening():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signals.heed()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_who_is_deaf_stays_deaf():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with signals.listening():
            signal.raise_signal(signal.SIGTERM)
            assert not signals.asked()
    finally:
        signal.signal(signal.SIGTERM, before)
