"""Runs that are killed, interrupted, starved of disk or driven to NaN: what is left, and that resuming is bit-exact."""

import itertools
import json
import multiprocessing
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import tempfile
import time
import types
from multiprocessing import forkserver

import numpy as np
import pytest

from common import commands
from common.errors import Diverged, Interrupted, UserError
from common.io.atomic import write_json
from common.options import SaveInterval, TrainingOptions
from common.training import callbacks
from common.training.checkpoint_files import saved, step_of
from common.training.signals import StopSignals
from common.training.train import Observers
from helpers import tiny
from helpers.paths import ROOT, TESTS
from helpers.ports import free_ports
from helpers.systems import EVERY, make_config

# Children come from a server that has imported TensorFlow, and so start in a fraction of the time.
FRESH = multiprocessing.get_context("forkserver")
FRESH.set_forkserver_preload(["helpers.tiny"])


@pytest.fixture(scope="module", autouse=True)
def preloadable():
    """The server looks for what it is to import in PYTHONPATH alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), str(ROOT)]))
        forkserver.ensure_running()
        yield


def child(out, **kwargs):
    """Starts `tiny.run(out, **kwargs)` in a process of its own, which logs to out/log."""
    out.mkdir(exist_ok=True)
    process = FRESH.Process(target=tiny.run_in_child, args=(out, out / "log", kwargs))
    process.start()
    return process


def log_csv(out):
    return (out / "results/tiny/log.csv").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Four epochs in one go."""
    out = tmp_path_factory.mktemp("whole")
    tiny.run(out, epochs=4)
    return out


@pytest.fixture
def at(monkeypatch):
    """`at(step, action)`: calls `action(system)` in the runs that follow, after the training step of that number."""
    original = callbacks.StopOnNonFinite

    def add(step, action):
        class WithAction(original):
            def on_train_batch_end(self, batch, logs=None):
                super().on_train_batch_end(batch, logs)
                if int(self.model.step.numpy()) == step:
                    action(self.model)

        monkeypatch.setattr(callbacks, "StopOnNonFinite", WithAction)

    return add


def interrupt(system=None):
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("step", [1, 4, 5, 13])
def test_a_signal_ends_the_step_saves_and_names_the_command(whole, tmp_path, at, step):
    """Within epochs and at the end of one; the resumed run equals the uninterrupted one, its log included."""
    at(step, interrupt)
    said = rf"stopped after step {step}, saved as \S+tiny-{step}; resume with: .*--resume"
    with pytest.raises(Interrupted, match=said) as stop:
        tiny.run(tmp_path, epochs=4)
    assert stop.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    tiny.run(tmp_path, epochs=4)
    tiny.assert_equal(tiny.final_state(tmp_path), tiny.final_state(whole))
    assert log_csv(tmp_path) == log_csv(whole)


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP", "SIGUSR1"])
def test_other_signals_save_as_well(tmp_path, at, name):
    number = getattr(signal, name)
    at(3, lambda system: os.kill(os.getpid(), number))
    with pytest.raises(Interrupted, match=r"stopped after step 3, saved as \S+tiny-3; resume with: ") as stop:
        tiny.run(tmp_path)
    assert stop.value.exit_code == 128 + number and newest(tmp_path) == 3


def test_a_signal_before_the_first_step_says_how_to_continue(tmp_path):
    """So does one after the last, during the evaluation."""

    def load(*_):
        interrupt()

    said = "stopped by SIGTERM; continue with: .* --resume auto"
    with StopSignals(at_once=True), pytest.raises(Interrupted, match=said) as stop:
        commands.train(tiny.config(), TrainingOptions(out=tmp_path), load)
    assert stop.value.exit_code == 143 and not list(tmp_path.iterdir())


def test_one_command_starts_continues_and_ends_a_run(whole, tmp_path, at, caplog):
    caplog.set_level("INFO", "common")
    settings = {"epochs": 4, "resume": "auto"}
    at(7, interrupt)
    with pytest.raises(Interrupted):
        tiny.run(tmp_path, **settings)
    at(0, interrupt)
    tiny.run(tmp_path, **settings)
    tiny.assert_equal(tiny.final_state(tmp_path), tiny.final_state(whole))
    assert log_csv(tmp_path) == log_csv(whole) and "already trained" not in caplog.text
    tiny.run(tmp_path, **settings)
    assert "already trained its 4 epochs" in caplog.text
    with pytest.raises(UserError, match="cannot resume: seed was 1 in the saved run and is 2 now"):
        tiny.train(tiny.config(epochs=4, seed=2), tmp_path, resume="auto")


def test_a_finished_run_is_evaluated_if_that_was_missed(tmp_path, at, monkeypatch):
    """Its evaluation was killed, or left out by --no-evaluate."""
    evaluated = []
    monkeypatch.setattr(commands, "_after_training", lambda run, steps, *_: evaluated.append(steps) or {})
    tiny.run(tmp_path, resume="auto")
    tiny.run(tmp_path, resume="auto", evaluate=True)
    assert evaluated == [10]
    write_json({"step": 10}, tmp_path / "results/tiny/figures.json")
    (tmp_path / "results/tiny/report.html").touch()
    tiny.run(tmp_path, resume="auto", evaluate=True)
    assert evaluated == [10]


@pytest.mark.parametrize("name", EVERY)
def test_every_system_resumes_within_an_epoch_bit_for_bit(tmp_path, at, name):
    config = make_config(**EVERY[name], steps_per_epoch=2)
    tiny.train(config, tmp_path / "whole")
    at(1, interrupt)
    with pytest.raises(Interrupted):
        tiny.train(config, tmp_path / "stopped")
    at(0, interrupt)
    tiny.train(config, tmp_path / "stopped")
    tiny.assert_equal(tiny.final_state(tmp_path / "stopped"), tiny.final_state(tmp_path / "whole"))


def test_a_finished_run_says_how_to_train_longer_and_does(whole, tmp_path, caplog):
    caplog.set_level("INFO", "common")
    shutil.copytree(whole, tmp_path / "moved")
    tiny.run(tmp_path / "moved", epochs=4)
    assert "already trained its 4 epochs. To train longer: --resume --epochs 8" in caplog.text
    tiny.run(tmp_path / "moved", epochs=5)
    assert newest(tmp_path / "moved") == 25 and log_csv(tmp_path / "moved").startswith(log_csv(whole))


def worker(out, index, ports, **kwargs):
    """Starts worker `index` of two on this machine, which logs to out/log<index>."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    environment = {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})}
    settings = {"strategy": "multiworker", "resume": "auto", **kwargs}
    process = FRESH.Process(target=tiny.run_in_child, args=(out, out / f"log{index}", settings, environment))
    process.start()
    return process


def test_of_two_workers_one_is_killed_and_both_resume(tmp_path):
    ports = free_ports(2)
    first, second = (worker(tmp_path, index, ports, epochs=10_000) for index in range(2))
    assert wait_for(lambda: newest(tmp_path) >= 5, first), (tmp_path / "log0").read_text()[-2000:]
    second.kill()
    first.join(120)
    said = rf"UserError: lost worker 1 \(127.0.0.1:{ports[1]}\): start all workers again, each with --resume auto"
    assert first.exitcode == 1 and re.search(said, (tmp_path / "log0").read_text())
    epochs = newest(tmp_path) // 5 + 1
    both = [worker(tmp_path, index, ports, epochs=epochs) for index in range(2)]
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0], (tmp_path / "log0").read_text()[-2000:]
    assert newest(tmp_path) == 5 * epochs and len(log_csv(tmp_path).splitlines()) == 1 + epochs


def wait_for(condition, process, seconds=120):
    """Waits until `condition()`; False if `process` ended first."""
    end = time.monotonic() + seconds
    while not condition():
        if not process.is_alive():
            return False
        assert time.monotonic() < end, "the child hangs"
        time.sleep(0.002)
    return True


def newest(out):
    """The step of the newest checkpoint, 0 without one."""
    return max(map(step_of, saved(out / "models/tiny")), default=0)


def kill_at_random(out, settings):
    """Starts a run and kills it 0 to 2 checkpoints and up to 60 ms later; returns the step of the newest one."""
    process, start, more = child(out, **settings), newest(out), random.randint(0, 2)
    lock = out / "models/tiny/run.lock"
    if not wait_for(lambda: lock.exists() and f"process {process.pid} " in lock.read_text(), process) or (
        more and not wait_for(lambda: newest(out) >= start + more, process)
    ):
        pytest.fail((out / "log").read_text()[-2000:])
    time.sleep(random.uniform(0, 0.06))
    process.kill()
    process.join()
    return newest(out)


def test_a_run_killed_twenty_times_equals_an_uninterrupted_one(tmp_path):
    """Within steps, saves, pictures and the log."""
    settings = {"epochs": 40, "checkpoint_every": SaveInterval(steps=3)}
    tiny.run(tmp_path / "whole", **settings)
    random.seed(7)
    killed = tmp_path / "killed"
    moments = {kill_at_random(killed, settings) for _ in range(20)}
    process = child(killed, **settings)
    process.join(300)
    assert process.exitcode == 0, (killed / "log").read_text()[-2000:]
    assert len(moments) > 5
    tiny.assert_equal(tiny.final_state(killed), tiny.final_state(tmp_path / "whole"))
    assert log_csv(killed) == log_csv(tmp_path / "whole")
    assert sorted(p.name for p in killed.glob("*/tiny/*")) == sorted(
        p.name for p in (tmp_path / "whole").glob("*/tiny/*")
    )


def test_a_second_signal_ends_a_process_at_once(tmp_path):
    """Left alone, this one would end well."""
    process = FRESH.Process(target=wait_through_the_first_signal, args=(tmp_path,))
    process.start()
    for stage in ("ready", "first"):
        assert wait_for((tmp_path / stage).exists, process)
        os.kill(process.pid, signal.SIGINT)
    process.join(20)
    assert process.exitcode == 130


def wait_through_the_first_signal(folder):
    with StopSignals() as signals:
        (folder / "ready").touch()
        while signals.received != signal.SIGINT:
            time.sleep(0.01)
        (folder / "first").touch()
        time.sleep(10)


def test_a_lock_of_a_live_run_is_refused_and_a_stale_one_is_not(tmp_path):
    out = tmp_path / "run"
    process = child(out, epochs=10_000)
    assert wait_for(lambda: newest(out) >= 5, process)
    with pytest.raises(UserError, match=rf"models/tiny is being written by process {process.pid} on "):
        tiny.run(out)
    process.kill()
    process.join()
    assert (out / "models/tiny/run.lock").exists()
    step = newest(out)
    tiny.run(out, epochs=step // 5 + 1)
    assert newest(out) == step // 5 * 5 + 5 and not (out / "models/tiny/run.lock").exists()


def test_a_non_finite_loss_stops_the_run(tmp_path):
    with pytest.raises(Diverged, match=r"loss is nan at step 8; the last checkpoint is \S+tiny-5: ") as stop:
        tiny.run(tmp_path, epochs=4, hyper={"nan_step": 7})
    assert stop.value.exit_code == 1 and newest(tmp_path) == 5
    assert all(np.isfinite(value).all() for value in tiny.final_state(tmp_path).values())


def test_a_rollback_continues_with_other_noise(whole, tmp_path):
    tiny.run(tmp_path, epochs=4, hyper={"nan_step": 7}, on_nan="rollback")
    state, other = tiny.final_state(tmp_path), tiny.final_state(whole)
    rollbacks, step = (state[f"state/{name}/.ATTRIBUTES/VARIABLE_VALUE"] for name in ("rollbacks", "step"))
    assert (rollbacks, step) == (1, 20)
    key = "state/generator.Slast.Skernel/.ATTRIBUTES/VARIABLE_VALUE"
    assert np.isfinite(state[key]).all() and not np.array_equal(state[key], other[key])
    first, second = (log_csv(out).splitlines() for out in (tmp_path, whole))
    assert [row.split(",")[0] for row in first] == ["epoch", "0", "1", "2", "3"]
    assert first[1] == second[1] and first[2] != second[2]


def test_a_fourth_rollback_is_refused(tmp_path, caplog):
    with pytest.raises(Diverged, match=r"loss is nan at step 3, after 3 rollbacks; the last checkpoint is \S+tiny-0"):
        tiny.run(tmp_path, epochs=4, hyper={"nan_step": 2, "nan_rollbacks": 9}, on_nan="rollback")
    assert re.findall("rollback (.) uses other noise", caplog.text) == ["1", "2", "3"]


@pytest.fixture
def scores(monkeypatch):
    """The scores of the epochs to come; a run starts again below 0.6."""
    values = []
    observers = Observers(columns=("score",), score=lambda: {"score": values.pop(0)}, restart=("score", 0.6))
    monkeypatch.setattr(commands, "observers_of", lambda *_: observers)
    return values


def test_a_stuck_run_starts_again_from_other_weights(tmp_path, scores):
    scores += [0.1, 0.9, 0.5, 0.2, 0.2, 0.6, 0.2]  # Stuck after its third epoch, but not after that of the restart.
    tiny.run(tmp_path / "a", epochs=4)
    rows = log_csv(tmp_path / "a").splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "0", "1", "2", "3"] and not scores
    assert [row.split(",")[-1] for row in rows] == ["score", "0.2", "0.2", "0.6", "0.2"]
    state = tiny.final_state(tmp_path / "a")
    assert [state[f"state/{name}/.ATTRIBUTES/VARIABLE_VALUE"] for name in ("rollbacks", "step")] == [1, 20]
    scores += [1.0] * 4
    tiny.run(tmp_path / "b", epochs=4)
    key = "state/generator.Slast.Skernel/.ATTRIBUTES/VARIABLE_VALUE"
    assert not np.array_equal(state[key], tiny.final_state(tmp_path / "b")[key])


def test_a_run_restarts_at_most_three_times_and_resumes_exactly(tmp_path, scores):
    scores += [0.5] * 12
    tiny.run(tmp_path / "whole", epochs=3)
    assert not scores
    scores += [0.5] * 10
    with pytest.raises(IndexError):  # No score is left: it ends in the second epoch of the last restart.
        tiny.run(tmp_path / "parts", epochs=3)
    scores += [0.5] * 2
    tiny.run(tmp_path / "parts", epochs=3)
    tiny.assert_equal(tiny.final_state(tmp_path / "parts"), tiny.final_state(tmp_path / "whole"))


@pytest.mark.parametrize("options", [{"strategy": "mirrored"}, {"tf1_checkpoint": pathlib.Path("saved")}], ids=str)
def test_restarts_need_one_device_and_weights_of_their_own(tmp_path, options):
    flag = "--" + next(iter(options)).replace("_", "-")
    with pytest.raises(UserError, match=f"--restart-below does not work with {flag}"):
        tiny.train(make_config(restart_below=0.5), tmp_path, **options)


def test_a_non_finite_variable_is_never_saved(tmp_path, at):
    """The loss of the step that spoils it is still finite."""

    def spoil(system):
        bias = system.networks["generator"].get_layer("last").bias
        bias.assign(bias + np.inf)

    at(10, spoil)
    said = r"generator/last/bias is not finite after step 10; the last checkpoint is \S+tiny-5: "
    with pytest.raises(Diverged, match=said):
        tiny.run(tmp_path, epochs=4)
    assert newest(tmp_path) == 5


def fill_the_disk(system):
    """No file may be longer than 4000 bytes from now on, as on a full disk; a checkpoint is longer."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))


def test_on_a_full_disk_the_last_checkpoint_stays_intact(whole, tmp_path, at):
    at(7, fill_the_disk)
    cause = r"(cannot write a checkpoint to \S+: .*|.*File too large)"
    said = cause + r"; it cannot be saved elsewhere either .*; the last \w+ is \S+tiny-5"
    try:
        with pytest.raises(UserError, match=said):
            tiny.run(tmp_path, epochs=4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert not list(tmp_path.glob("models/tiny/.*"))
    at(0, lambda system: None)
    tiny.run(tmp_path, epochs=4)
    tiny.assert_equal(tiny.final_state(tmp_path), tiny.final_state(whole))


def test_if_the_folder_vanishes_the_state_is_saved_elsewhere(whole, tmp_path, monkeypatch, at):
    """Resuming from there equals the uninterrupted run."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    at(7, lambda system: shutil.rmtree(tmp_path / "run/models"))
    said = "cannot write a checkpoint to .*/run/models/tiny: .*; the state after step 10 is saved as"
    with pytest.raises(UserError, match=said) as error:
        tiny.run(tmp_path / "run", epochs=4)
    elsewhere = pathlib.Path(re.search(r"--resume --out=(\S+)", str(error.value))[1])
    at(0, lambda system: None)
    tiny.run(elsewhere, epochs=4)
    tiny.assert_equal(tiny.final_state(elsewhere), tiny.final_state(whole))


def test_if_a_picture_cannot_be_written_the_state_is_saved(tmp_path, at):
    at(7, lambda system: shutil.rmtree(tmp_path / "results"))
    with pytest.raises(UserError, match=r"results/tiny.*; the state after step 10 is saved as \S+/models/tiny/tiny-10"):
        tiny.run(tmp_path, epochs=4)


@pytest.mark.skipif(not pathlib.Path("/proc/self").is_dir(), reason="no /proc here, where nobody may write")
def test_an_unwritable_folder_is_an_error_before_training():
    with pytest.raises(UserError, match="cannot write to /proc/results/tiny .*: name another --out"):
        tiny.run(pathlib.Path("/proc"))


def test_auto_does_not_start_over_damaged_checkpoints(tmp_path):
    tiny.run(tmp_path, epochs=2)
    for index in tmp_path.glob("models/tiny/*.index"):
        index.write_bytes(b"")
    with pytest.raises(UserError, match=r"tiny-10 is not a readable checkpoint: .* \(the 1 older ones cannot be used"):
        tiny.run(tmp_path, epochs=2, resume="auto")
    assert len(list(tmp_path.glob("models/tiny/*.data-*"))) == 2


def test_a_damaged_newest_checkpoint_is_skipped(whole, tmp_path, caplog):
    caplog.set_level("INFO", "common")
    tiny.run(tmp_path, epochs=3)
    data = tmp_path / "models/tiny/tiny-15.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-100])
    tiny.run(tmp_path, epochs=4)
    assert re.search(r"Skipped: \S+tiny-15 is not a readable checkpoint", caplog.text)
    assert re.search(r"Resuming from \S+tiny-10\n", caplog.text)
    tiny.assert_equal(tiny.final_state(tmp_path), tiny.final_state(whole))
    assert log_csv(tmp_path) == log_csv(whole)


def test_checkpoints_are_saved_by_steps_and_after_each_epoch(tmp_path):
    tiny.run(tmp_path, epochs=2, checkpoint_every=SaveInterval(steps=2), keep=99)
    assert [int(path.rsplit("-", 1)[1]) for path in reversed(saved(tmp_path / "models/tiny"))] == [2, 4, 5, 6, 8, 10]


def test_checkpoints_are_saved_by_minutes(tmp_path, monkeypatch):
    """Of a clock that a step moves by a minute. Steps 3 and 8 are due; epochs end at 5 and 10 and restart the wait."""
    minutes = itertools.count()
    monkeypatch.setattr(callbacks, "time", types.SimpleNamespace(monotonic=lambda: 60 * next(minutes)))
    tiny.run(tmp_path, epochs=2, checkpoint_every=SaveInterval(minutes=3), keep=99)
    assert [int(path.rsplit("-", 1)[1]) for path in reversed(saved(tmp_path / "models/tiny"))] == [3, 5, 8, 10]
