"""What a run says while it trains: on a terminal of 80 columns, and in a file."""

import itertools
import os
import pty
import re
import subprocess
import sys
import types

import pytest

from common.training import callbacks, progress
from helpers.paths import ROOT, TESTS

LOGS = {"d_loss": 0.6931, "g_loss": 12.3, "q_loss": 1e-6, "vae_loss": 123.4, "penalty_loss": 2.0}


def test_a_bar_is_never_wider_than_the_terminal():
    """Each update of a real bar, in a pseudo-terminal of 80 columns."""
    program = f"""
from common.training.progress import Bar
bar = Bar()
bar.set_params({{"verbose": 1, "epochs": 10, "steps": 20000}})
bar.on_train_begin()
bar.on_epoch_begin(0)
for step in range(0, 20000, 100):
    bar.progbar.interval = 0
    bar.on_train_batch_end(step, {LOGS})
bar.on_epoch_end(0, {LOGS})
"""
    main, terminal = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, TESTS))), "COLUMNS": "80"}
    process = subprocess.Popen([sys.executable, "-c", program], stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    output = b""
    while True:
        try:
            part = os.read(main, 1 << 16)
        except OSError:  # How a pseudo-terminal ends.
            break
        if not part:
            break
        output += part
    assert process.wait(60) == 0, output.decode()
    lines = re.split("[\\r\\n]+", re.sub("\x1b\\[[0-9;]*m|\b", "", output.decode()))
    bars = [line for line in lines if "/20000" in line]
    assert len(bars) > 100 and max(map(len, bars)) < 80
    assert "d: 0.6931" in bars[0]


class System:
    """Its step alone."""

    def __init__(self):
        self.step = types.SimpleNamespace(numpy=lambda: self.taken)
        self.taken = 0


def lines_of(caplog, monkeypatch, seconds, steps, epochs, terminal=False):
    """What is logged in a run whose steps take so many seconds."""
    caplog.set_level("INFO", "common")
    clock = itertools.count(step=seconds)
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(monotonic=lambda: next(clock)))
    lines = progress.Progress(steps, epochs, "--preset light", terminal)
    lines.set_model(System())
    for epoch in range(epochs):
        lines.on_epoch_begin(epoch)
        for batch in range(steps):
            lines.model.taken += 1
            lines.on_train_batch_end(batch, LOGS)
        lines.on_epoch_end(epoch, {**LOGS, "late_loss": float("nan")})
    return [record.getMessage().strip() for record in caplog.records]


def test_an_estimate_comes_after_twenty_steps(caplog, monkeypatch):
    first = lines_of(caplog, monkeypatch, seconds=0.25, steps=100, epochs=2)[0]
    assert first == "An epoch takes about 25 s here, the whole run 45 s more."


def test_a_long_run_is_told_what_is_quicker(caplog, monkeypatch):
    line = next(line for line in lines_of(caplog, monkeypatch, seconds=60, steps=100, epochs=2) if "An epoch" in line)
    assert line == "An epoch takes about 1.7 h here, the whole run 3.0 h more. Quicker: --preset light."


@pytest.mark.parametrize(
    ("seconds", "steps", "lines"),
    [(10, 100, 9), (1, 300, 4), (0.1, 100, 0)],  # A tenth of an epoch is later; a minute is later; neither comes.
)
def test_a_file_gets_a_line_per_minute_or_tenth_of_an_epoch(caplog, monkeypatch, seconds, steps, lines):
    said = lines_of(caplog, monkeypatch, seconds, steps, epochs=1)
    assert sum(bool(re.match(r"Epoch 1/1, step \d+/\d+: d_loss 0.6931, .*; .* left$", line)) for line in said) == lines


def test_a_terminal_gets_no_lines_within_an_epoch(caplog, monkeypatch):
    said = lines_of(caplog, monkeypatch, seconds=10, steps=100, epochs=1, terminal=True)
    assert [line.split()[0:2] for line in said] == [["An", "epoch"], ["Epoch", "1/1"]]


def test_a_loss_without_a_value_is_left_out():
    assert progress.losses_line({"d_loss": 0.5, "g_loss": float("nan"), "q_loss": 2.0}) == "d_loss 0.5, q_loss 2"


@pytest.mark.parametrize(("seconds", "words"), [(45.4, "45 s"), (420, "7 min"), (12_600, "3.5 h")])
def test_a_duration_is_rounded(seconds, words):
    assert progress.duration(seconds) == words


def test_grids_are_drawn_within_the_first_epoch():
    drawn = []
    grids = callbacks.SampleGrids(lambda epoch: drawn.append((epoch, grids.model.taken)), steps_per_epoch=2200)
    grids.set_model(System())
    for epoch in range(2):
        for batch in range(2200):
            grids.model.taken += 1
            grids.on_train_batch_end(batch)
        grids.on_epoch_end(epoch)
    assert drawn == [(0, 100), (0, 200), (0, 500), (0, 1000), (0, 2000), (0, 2200), (1, 4400)]
