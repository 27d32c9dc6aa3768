"""Checkpoints: what they hold, that it comes back bit for bit, and what is said where it cannot."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from common import checkpoints
from common.checkpoints import Checkpoints
from common.config import Config, LatentSpec
from common.errors import UserError
from common.layers import BatchNorm, linear
from common.models.system import System

HERE = pathlib.Path(__file__).parent


class Tiny(System):
    """A system of two small networks, so that checkpoints are small; its step draws latents and moves both networks."""

    def __init__(self, units: int = 3):
        config = Config(
            name="tiny", checkpoint_name="tiny", dataset="", image_shape=(1, 1, 2), scaling="unit", latent=LatentSpec(2, 2, 1),
            epochs=1, batch_size=4, learning_rate=1e-2, generator_multiplier=1.0, information_multiplier=1.0, vae_multiplier=1.0,
            adam_beta1=0.5, adam_beta2=0.999, adam_epsilon=1e-8, categorical_kl_weight=0.0, first_batch_norm=False)
        networks = {}
        for i, name in enumerate(("encoder", "generator")):
            inputs = keras.Input((2,))
            hidden = BatchNorm(name="norm")(linear(units, i, "hidden")(inputs))
            networks[name] = keras.Model(inputs, linear(1, i, "last")(hidden))
        super().__init__(config, networks, {"d": (1e-2, ("encoder",)), "q": (1e-3, ("encoder", "generator"))}, losses=("loss",))

    def iterate(self, images, latents, noise):
        for name in self.optimizers:
            with tf.GradientTape() as tape:
                loss = tf.add_n([tf.reduce_sum((self.networks[n](latents.noise, training=True) - 1) ** 2) for n in self.moves[name]])
            self.apply_gradients({name: tape.gradient(loss, self.moved_variables(name))})
        return {"loss": loss}


@pytest.fixture(scope="module")
def tiny():
    return Tiny()


@pytest.fixture(scope="module")
def other():
    """A second system of the same shapes."""
    return Tiny()


def train(system, steps):
    for _ in range(steps):
        system.train_step(tf.zeros((4, 1, 1, 2)))


def values(system):
    return {name: v.numpy() for name, v in checkpoints.state(system).items()}


def assert_equal(got, wanted):
    assert got.keys() == wanted.keys()
    for name in got:
        np.testing.assert_array_equal(got[name], wanted[name], err_msg=name)


def test_state_holds_every_variable_exactly_once(system):
    """Of networks and optimizers, and the step: all but the learning rates, which are the configuration's."""
    state = checkpoints.state(system)
    held = [id(v) for v in state.values()]
    assert len(set(held)) == len(held)
    variables = [v for network in system.networks.values() for v in network.variables]
    variables += [v for o in system.optimizers.values() for v in o.variables if v is not o._learning_rate]
    assert {id(v.value) for v in variables} | {id(system.step.value)} == set(held)


def test_state_has_plain_names(system):
    state = checkpoints.state(system)
    assert {"step", "encoder/e_mean/kernel", "generator/g_bn1/moving_mean", "d/beta1_power", "vae/iterations",
            "q/m/encoder/e_mean/kernel", "q/v/generator/g_h4/bias", "g/m/generator/g_bn1/gamma"} <= state.keys()
    for name, variable in state.items():
        if name.split("/")[1:2] in (["m"], ["v"]):  # A moment has the shape of the variable whose name it bears.
            assert variable.shape == state[name.split("/", 2)[2]].shape
    assert not any(name.startswith("d/m/encoder") or name.startswith("vae/m/generator") for name in state)


def test_a_state_comes_back_bit_for_bit(tiny, other, tmp_path):
    """Weights, averages, moments, powers, iterations and step, into a system that stands elsewhere."""
    train(tiny, 3)
    wanted = values(tiny)
    assert all(np.any(wanted[name]) for name in ("q/m/encoder/hidden/kernel", "d/v/encoder/norm/gamma", "generator/norm/moving_mean"))
    assert wanted["q/beta1_power"] == 0.5 * 0.5**wanted["q/iterations"] < 0.5
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
    assert checkpoints.latest(tmp_path) == path == str(tmp_path / f"tiny-{steps[-1]}")


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


def test_locate_takes_a_checkpoint_or_its_folder(tiny, tmp_path):
    path = Checkpoints(tiny, tmp_path, "tiny").save()
    assert checkpoints.locate(tmp_path) == checkpoints.locate(pathlib.Path(path)) == path
    (tmp_path / "empty").mkdir()
    for missing in (tmp_path / "empty", tmp_path / "tiny-999", tmp_path / "none"):
        with pytest.raises(UserError, match=f"no checkpoint at {missing}: it should be"):
            checkpoints.locate(missing)


def damage_missing_data(path):
    pathlib.Path(path + ".data-00000-of-00001").unlink()


def damage_truncated_data(path):
    data = pathlib.Path(path + ".data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:len(data.read_bytes()) // 2])


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


@pytest.mark.parametrize("damage", [
    damage_missing_data, damage_truncated_data, damage_shortened_data, damage_flipped_data, damage_empty_index, damage_garbled_index])
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
    """Nothing else reaches stderr, not even when the interpreter ends, where TensorFlow likes to list what it missed."""
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
        "    print(error, file=sys.stderr)\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
    process = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr
    lines = process.stderr.split("ready\n")[1].splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"{path} is "), process.stderr
