"""Checkpoints: what they hold, that it comes back bit for bit, and what is said where it cannot."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from common.config import provenance
from common.errors import UserError
from common.io.atomic import write_json
from common.training import checkpoints
from common.training.checkpoints import Checkpoints
from helpers.paths import ROOT, TESTS
from helpers.systems import values
from helpers.tiny import Tiny, assert_equal

HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def tiny():
    return Tiny()


@pytest.fixture(scope="module")
def other():
    """A second system of the same shapes."""
    return Tiny()


def train(system, steps):
    for _ in range(steps):
        system.train_step(tf.random.stateless_uniform((4, 2, 2, 1), [0, 1]))


def test_state_holds_every_variable_exactly_once(system):
    """Of networks, optimizers and the epoch's means, step and stream: all but the learning rates, which are the
    configuration's.
    """
    state = system.state()
    held = [id(v) for v in state.values()]
    assert len(set(held)) == len(held)
    variables = [v for network in system.networks.values() for v in network.variables]
    variables += [v for o in system.optimizers.values() for v in o.variables if v is not o._learning_rate]
    variables += [
        system.step,
        system.rollbacks,
        *(v for tracker in system.trackers.values() for v in tracker.variables),
    ]
    assert {id(v.value) for v in variables} == set(held)


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
        "stream",
        "epoch_mean/d_loss/total",
    } <= state.keys()
    for name, variable in state.items():
        if name.split("/")[1:2] in (["m"], ["v"]):  # A moment has the shape of the variable whose name it bears.
            assert variable.shape == state[name.split("/", 2)[2]].shape
    assert not any(name.startswith(("d/m/encoder", "vae/m/generator")) for name in state)


def test_a_state_comes_back_bit_for_bit(tiny, other, tmp_path):
    """Weights, averages, moments, powers, iterations and step, into a system that stands elsewhere."""
    train(tiny, 3)
    tiny.stream.assign(2)
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


def test_a_run_that_is_resumed_equals_one_that_was_not_interrupted(tiny, other, tmp_path):
    train(tiny, 2)
    Checkpoints(tiny, tmp_path, "tiny").save()
    train(tiny, 3)
    Checkpoints(other, tmp_path, "tiny").restore_latest()
    train(other, 3)
    assert_equal(values(other), values(tiny))


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


def test_the_newest_checkpoint_is_restored_and_an_older_one_by_its_path(tiny, other, tmp_path):
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


def test_open_run_takes_a_checkpoint_or_its_folder(make_config, system, tmp_path):
    path = Checkpoints(system, tmp_path, "tiny").save()
    write_json(provenance(make_config(), "images"), tmp_path / "run.json")
    for given in (tmp_path, pathlib.Path(path)):
        assert checkpoints.open_run(given)[1] == path
    (tmp_path / "empty").mkdir()
    for missing in (tmp_path / "empty", tmp_path / "tiny-999", tmp_path / "none"):
        with pytest.raises(UserError, match=f"no checkpoint at {missing}: it should be"):
            checkpoints.open_run(missing)


def test_saving_sweeps_what_killed_saves_and_a_course_that_was_left_have_written(tiny, tmp_path):
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


def test_what_reads_back_differently_is_no_checkpoint(tiny, tmp_path, monkeypatch):
    saver = Checkpoints(tiny, tmp_path, "tiny")
    first = saver.save()
    train(tiny, 1)
    monkeypatch.setattr(
        checkpoints, "_read", lambda path: dict.fromkeys(map(checkpoints._key, values(tiny)), np.zeros(()))
    )
    with pytest.raises(checkpoints.CheckpointWriteError, match="reads back differently"):
        saver.save()
    assert checkpoints.saved(tmp_path) == [first] and not (tmp_path / ".saving").exists()


def write_format(system, folder, version):
    """A checkpoint of another format version of this project: 1 had no number, no stream and no means."""
    state = system.state()
    if version == 1:
        state = {name: v for name, v in state.items() if name != "stream" and not name.startswith("epoch_mean/")}
    else:
        state["format"] = tf.Variable(version, dtype=tf.int64)
    return tf.train.Checkpoint(state=state).write(str(folder / "tiny-5"))


def test_an_earlier_format_is_migrated(tiny, other, tmp_path):
    write_format(tiny, tmp_path, 1)
    wanted = {**values(tiny), "stream": 0, "epoch_mean/loss/total": 0, "epoch_mean/loss/count": 0}
    train(other, 1)
    other.stream.assign(3)
    Checkpoints(other, tmp_path, "tiny").restore_latest()
    assert_equal(values(other), wanted)


def test_a_later_format_is_refused_by_name(tiny, other, tmp_path):
    path = write_format(tiny, tmp_path, 3)
    before = values(other)
    with pytest.raises(
        UserError, match=rf"{path} was written by a later version of this project \(format 3; this one reads up to 2\)"
    ):
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


def damage_missing_data(path):
    pathlib.Path(path + ".data-00000-of-00001").unlink()


def damage_truncated_data(path):
    data = pathlib.Path(path + ".data-00000-of-00001")
    data.write_bytes(data.read_bytes()[: len(data.read_bytes()) // 2])


def damage_shortened_data(path):
    data = pathlib.Path(path + ".data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:-8])


def damage_flipped_data(path):
    data = pathlib.Path(path + ".data-00000-of-00001")
    data.write_bytes(bytes(b ^ 0xFF for b in data.read_bytes()))


def damage_empty_index(path):
    pathlib.Path(path + ".index").write_bytes(b"")


def damage_garbled_index(path):
    pathlib.Path(path + ".index").write_bytes(bytes(range(256)) * 16)


@pytest.mark.parametrize(
    "damage",
    [
        damage_missing_data,
        damage_truncated_data,
        damage_shortened_data,
        damage_flipped_data,
        damage_empty_index,
        damage_garbled_index,
    ],
)
def test_a_damaged_checkpoint_is_named(tiny, other, tmp_path, damage):
    path = Checkpoints(tiny, tmp_path, "tiny").save()
    damage(path)
    with pytest.raises(UserError) as error:
        Checkpoints(other, tmp_path, "tiny").restore_latest()
    assert str(error.value).startswith(f"{path} is no readable checkpoint: ")
    assert "\n" not in str(error.value)


def test_a_folder_that_cannot_be_written_is_named(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=f"cannot write a checkpoint to {tmp_path / 'file' / 'models'}") as error:
        Checkpoints(tiny, tmp_path / "file" / "models", "tiny").save()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("case", ["shape", "names"])
def test_the_checkpoint_of_another_model_is_refused_in_one_line(tiny, tmp_path, case):
    """Nothing else reaches stderr, not even when the interpreter ends, where TensorFlow likes to list
    what it missed.
    """
    if case == "shape":
        path = Checkpoints(tiny, tmp_path, "tiny").save()
    else:
        state = {"step": tf.Variable(1, dtype=tf.int64), "weights": tf.Variable([1.0])}
        path = tf.train.Checkpoint(state=state).write(str(tmp_path / "tiny-1"))
    program = (
        "import sys, test_checkpoints as t\n"
        f"system = t.Tiny(units={5 if case == 'shape' else 3})\n"
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
    assert len(lines) == 1 and lines[0].startswith(f"{path} is "), process.stderr
