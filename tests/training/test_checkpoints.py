"""Checkpoints: what they hold, that it comes back bit for bit, and what is said if it cannot."""

import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from common.models import registry
from common.training import checkpoints
from common.training.checkpoints import Checkpoints
from helpers.paths import ROOT, TESTS
from helpers.systems import values
from helpers.tiny import assert_equal, config

HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def tiny():
    return registry.build(config())


@pytest.fixture(scope="module")
def other():
    """A second system of the same shapes."""
    return registry.build(config())


def train(system, steps):
    for _ in range(steps):
        system.train_step(tf.random.stateless_uniform((4, 2, 2, 1), [0, 1]))


def test_state_has_plain_names(system):
    state = system.state()
    assert {
        "step",
        "encoder/e_mean/kernel",
        "generator/g_bn1/moving_mean",
        "d/beta1_power",
        "vae/iterations",
        "q/m/encoder/e_mean/kernel",
        "q/v/generator/g_h4/bias",
        "g/m/generator/g_bn1/gamma",
        "rollbacks",
        "epoch_mean/d_loss/total",
    } <= state.keys()
    for name, variable in state.items():
        if name.split("/")[1:2] in (["m"], ["v"]):  # A moment has the shape of the variable whose name it bears.
            assert variable.shape == state[name.split("/", 2)[2]].shape
    assert not any(name.startswith(("d/m/encoder", "vae/m/generator")) for name in state)


def test_a_state_comes_back_bit_for_bit(tiny, other, tmp_path):
    """Weights, averages, moments, powers, iterations and step, into a system in another state; training then agrees."""
    train(tiny, 3)
    tiny.rollbacks.assign(2)
    wanted = values(tiny)
    (tmp_path / "models").mkdir()
    assert all(
        np.any(wanted[name])
        for name in ("q/m/encoder/hidden/kernel", "d/v/encoder/norm/gamma", "generator/norm/moving_mean")
    )
    assert wanted["q/beta1_power"] == 0.5 * 0.5 ** wanted["q/iterations"] < 0.5
    path = Checkpoints(tiny, tmp_path / "models", "tiny").save()
    assert path == str(tmp_path / "models" / f"tiny-{wanted['step']}")
    train(other, 1)
    assert Checkpoints(other, tmp_path / "models", "tiny").restore_latest() == path
    assert_equal(values(other), wanted)
    for system in (tiny, other):
        train(system, 3)
    assert_equal(values(other), values(tiny))


def test_a_checkpoint_opens_without_optimizers(tiny, tmp_path):
    Checkpoints(tiny, tmp_path, "tiny").save()
    system = registry.build(config(), training=False)
    Checkpoints(system, tmp_path, "tiny").restore_latest()
    wanted = values(tiny)
    assert_equal(values(system), {name: wanted[name] for name in system.state()})


def test_only_the_last_checkpoints_are_kept(tiny, tmp_path):
    """Also when each is saved by a new process: here, by a new `Checkpoints`."""
    steps = []
    for _ in range(4):
        train(tiny, 1)
        steps.append(int(tiny.step))
        path = Checkpoints(tiny, tmp_path, "tiny", keep=2).save()
    assert {p.name for p in tmp_path.glob("*.index")} == {f"tiny-{step}.index" for step in steps[2:]}
    assert len(list(tmp_path.glob("*.data-*"))) == 2
    assert (
        checkpoints.saved(tmp_path)[0]
        == tf.train.latest_checkpoint(str(tmp_path))
        == path
        == str(tmp_path / f"tiny-{steps[-1]}")
    )


def test_the_newest_checkpoint_is_restored_or_the_one_named(tiny, other, tmp_path):
    saver = Checkpoints(tiny, tmp_path, "tiny")
    train(tiny, 1)
    older, first = values(tiny), saver.save()
    train(tiny, 1)
    saver.save()
    Checkpoints(other, tmp_path, "tiny").restore_latest()
    assert_equal(values(other), values(tiny))
    Checkpoints(other, tmp_path, "tiny").restore(first)
    assert_equal(values(other), older)


def test_there_is_nothing_to_resume_without_a_checkpoint(tiny, tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UserError, match=f"nothing to resume: there is no checkpoint in {folder}"):
            Checkpoints(tiny, folder, "tiny").restore_latest()


def test_checkpoints_of_other_names_are_left_alone(tiny, tmp_path):
    """Copies that a user has made: those of earlier steps are not deleted, those of later ones not resumed from."""
    saver = Checkpoints(tiny, tmp_path, "tiny", keep=1)
    path = pathlib.Path(saver.save())
    for name in ("best-1", "tiny-best-2", "other-900"):
        for ending in (".index", ".data-00000-of-00001"):
            shutil.copy(f"{path}{ending}", tmp_path / f"{name}{ending}")
    train(tiny, 1)
    last = saver.save()
    assert saver.newest() == saver.restore_latest() == last
    kept = {"best-1", "tiny-best-2", "other-900", pathlib.Path(last).name}
    assert {p.stem for p in tmp_path.glob("*.index")} == {p.stem for p in tmp_path.glob("*.data-*")} == kept


def test_save_removes_leftovers_of_killed_and_rolled_back_runs(tiny, tmp_path):
    saver, step = Checkpoints(tiny, tmp_path, "tiny"), int(tiny.step)
    (tmp_path / ".saving").mkdir()
    for name in (
        ".saving/tiny-7.index",
        "tiny-1.data-00000-of-00001",
        f"tiny-{step + 5}.index",
        f"tiny-{step + 5}.data-00000-of-00001",
    ):
        (tmp_path / name).write_bytes(b"part")
    (tmp_path / "notes-1.txt").write_text("mine")
    saver.save()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "checkpoint",
        "notes-1.txt",
        f"tiny-{step}.data-00000-of-00001",
        f"tiny-{step}.index",
    ]


def test_a_checkpoint_that_reads_back_differently_is_refused(tiny, tmp_path, monkeypatch):
    saver = Checkpoints(tiny, tmp_path, "tiny")
    first = saver.save()
    train(tiny, 1)
    zeros = dict.fromkeys(map(checkpoints._key, values(tiny)), np.zeros(()))
    monkeypatch.setattr(checkpoints, "_read", lambda path: zeros)
    with pytest.raises(checkpoints.CheckpointWriteError, match="reads back differently"):
        saver.save()
    assert checkpoints.saved(tmp_path) == [first] and not (tmp_path / ".saving").exists()


def test_a_later_format_is_refused_by_name(tiny, other, tmp_path):
    later = {**tiny.state(), "format": tf.Variable(checkpoints.FORMAT + 1, dtype=tf.int64)}
    path = tf.train.Checkpoint(state=later).write(str(tmp_path / "tiny-5"))
    before = values(other)
    said = rf"{path} was written by a later version of this project \(format 4; this one reads up to 3\)"
    with pytest.raises(UserError, match=said):
        Checkpoints(other, tmp_path, "tiny").restore_latest()
    assert_equal(values(other), before)


def test_no_flipped_bit_goes_unnoticed(tiny, other, tmp_path):
    """Of 300 single bits all over both files; then the checkpoint before is used."""
    saver = Checkpoints(tiny, tmp_path, "tiny")
    older = values(tiny)
    saver.save()
    train(tiny, 1)
    newer, path = values(tiny), saver.save()
    random, restorer = np.random.RandomState(0), Checkpoints(other, tmp_path, "tiny")
    for ending in (".index", ".data-00000-of-00001"):
        file = pathlib.Path(path + ending)
        whole = file.read_bytes()
        for bit in random.choice(8 * len(whole), 150, replace=False):
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << bit % 8
            file.write_bytes(damaged)
            restored = restorer.restore_latest()
            assert_equal(values(other), newer if restored == path else older)
        file.write_bytes(whole)
    assert restorer.restore_latest() == path


DAMAGE = {  # Of the data and of the index; None deletes it.
    "missing data": (lambda data: None, bytes),
    "truncated data": (lambda data: data[: len(data) // 2], bytes),
    "shortened data": (lambda data: data[:-8], bytes),
    "flipped data": (lambda data: bytes(b ^ 0xFF for b in data), bytes),
    "empty index": (bytes, lambda index: b""),
    "garbled index": (bytes, lambda index: bytes(range(256)) * 16),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_named(tiny, other, tmp_path, damage):
    path = Checkpoints(tiny, tmp_path, "tiny").save()
    for ending, change in zip((".data-00000-of-00001", ".index"), damage, strict=True):
        file = pathlib.Path(path + ending)
        content = change(file.read_bytes())
        file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(UserError) as error:
        Checkpoints(other, tmp_path, "tiny").restore_latest()
    assert str(error.value).startswith(f"{path} is not a readable checkpoint: ")
    assert "\n" not in str(error.value)


def test_a_folder_that_cannot_be_written_is_named(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=f"cannot write a checkpoint to {tmp_path / 'file' / 'models'}") as error:
        Checkpoints(tiny, tmp_path / "file" / "models", "tiny").save()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("case", ["shape", "names"])
def test_a_checkpoint_of_another_model_is_refused_in_one_line(tiny, tmp_path, case):
    """Nothing else reaches stderr, not even when the interpreter ends and TensorFlow lists what it missed."""
    if case == "shape":
        path = Checkpoints(tiny, tmp_path, "tiny").save()
    else:
        state = {"step": tf.Variable(1, dtype=tf.int64), "weights": tf.Variable([1.0])}
        path = tf.train.Checkpoint(state=state).write(str(tmp_path / "tiny-1"))
    program = (
        "import sys, test_checkpoints as t\n"
        f"system = t.registry.build(t.config(units={5 if case == 'shape' else 3}))\n"
        "print('ready', file=sys.stderr, flush=True)\n"
        "try:\n"
        f"    t.Checkpoints(system, t.HERE, 'tiny').restore({path!r})\n"
        "except t.UserError as error:\n"
        "    print(error, file=sys.stderr)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (HERE, TESTS, ROOT)))}
    process = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=300
    )
    assert process.returncode == 0, process.stderr
    lines = process.stderr.split("ready\n")[1].splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"{path} does not match this model: "), process.stderr


def test_a_checkpoint_that_is_not_finite_is_refused_whole(tiny, other, tmp_path):
    name, version = "generator/last/bias", tf.Variable(checkpoints.FORMAT, dtype=tf.int64)
    state = {**tiny.state(), name: tf.Variable([1.0, np.nan, 1.0, 1.0]), "format": version}
    path, before = tf.train.Checkpoint(state=state).write(str(tmp_path / "tiny-5")), values(other)
    with pytest.raises(checkpoints.CorruptCheckpoint, match=f"{name} is not finite"):
        Checkpoints(other, tmp_path, "tiny").restore(path)
    assert_equal(values(other), before)
