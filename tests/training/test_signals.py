"""Signals outside of training, signals that are ignored or repeated, closed terminals, and the command that resumes."""

import os
import signal
import sys

import pytest

from common.training.signals import Stop, StopSignals, _leave_closed_terminal, resume_command

pytestmark = pytest.mark.fast


def send(*names):
    for name in names:
        os.kill(os.getpid(), getattr(signal, name))


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"])
def test_a_signal_outside_of_training_ends_the_command(name):
    before = signal.getsignal(signal.SIGUSR1)
    with pytest.raises(Stop, match=f"stopped by {name}") as stop, StopSignals(at_once=True):
        send(name)
    assert stop.value.number == getattr(signal, name)
    assert signal.getsignal(signal.SIGUSR1) == before


def test_gentle_signals_may_be_repeated():
    """A closed terminal sends SIGHUP twice, and a scheduler SIGUSR1 and then SIGTERM."""
    with StopSignals() as signals:
        send("SIGHUP", "SIGHUP", "SIGUSR1", "SIGUSR1", "SIGTERM")
        assert signals.received == signal.SIGHUP


def test_an_ignored_hangup_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals() as signals, StopSignals(at_once=True):
            send("SIGHUP")
        assert signals.received is None and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_nothing_is_written_to_a_closed_terminal():
    kept = os.dup(1)
    terminal, end = os.openpty()
    try:
        os.dup2(end, 1)
        _leave_closed_terminal()
        assert os.isatty(1)
        os.close(terminal)
        with pytest.raises(OSError):
            os.write(1, b"lost")
        _leave_closed_terminal()
        assert os.write(1, b"lost") == 4
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(end)


@pytest.mark.parametrize(
    ("typed", "auto", "wanted"),
    [
        ("a.py --seed 2", False, "a.py --seed 2 --resume"),
        ("a.py --overwrite --seed 2", True, "a.py --seed 2 --resume auto"),
        ("a.py --resume --seed 2", False, "a.py --seed 2 --resume"),
        ("a.py --resume auto --seed 2", False, "a.py --resume auto --seed 2"),
        ("a.py --resume=auto", True, "a.py --resume=auto"),
        ("a.py auto --resume", False, "a.py auto --resume"),
    ],
)
def test_the_command_that_resumes(monkeypatch, typed, auto, wanted):
    monkeypatch.setattr(sys, "argv", typed.split())
    assert resume_command(auto=auto) == f"{sys.executable} {wanted}"
