"""TF1 checkpoints: the original's names, bit-exact both ways, and refusals that name what does not fit."""

import json

import numpy as np
import pytest
import tensorflow as tf

from common.config import LatentSpec
from common.errors import UserError
from common.io.atomic import write_json
from common.models import registry
from common.options import RUN_FILE
from common.run_json import provenance, read_run
from common.runs import open_run
from common.tf1 import __main__ as tf1
from common.tf1 import checkpoints as tf1_checkpoints
from common.tf1 import compare
from common.training.checkpoints import Checkpoints
from helpers.paths import RECORDINGS


def write_checkpoint(values, prefix):
    """Writes name -> array with TF1's own Saver."""
    with tf.Graph().as_default():
        feeds = {}
        for name, value in values.items():
            placeholder = tf.compat.v1.placeholder(tf.float32, value.shape)  # Constants would exceed a graph's size.
            feeds[placeholder] = value
            tf.compat.v1.Variable(placeholder, name=name, use_resource=False)
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer(), feeds)
            tf.compat.v1.train.Saver().save(session, str(prefix), write_meta_graph=False)


def read_checkpoint(values, prefix):
    """Reads name -> array, for the names and shapes of `values`, with TF1's own Saver."""
    with tf.Graph().as_default():
        variables = {n: tf.compat.v1.get_variable(n, v.shape, use_resource=False) for n, v in values.items()}
        with tf.compat.v1.Session() as session:
            tf.compat.v1.train.Saver().restore(session, str(prefix))
            return session.run(variables)


def assert_same_bits(got, expected):
    assert got.keys() == expected.keys()
    assert all(got[name].tobytes() == value.tobytes() for name, value in expected.items())


@pytest.fixture(scope="module")
def system(make_config):
    return registry.build(make_config())


@pytest.fixture(scope="module")
def values(system):
    """A value for everything in a checkpoint, with the bits of a float32 in full use."""
    random, variables = np.random.RandomState(1), tf1_checkpoints.all_variables(system)
    return {name: random.normal(size=tuple(v.shape)).astype(np.float32) for name, v in variables.items()}


@pytest.fixture(scope="module")
def prefix(values, tmp_path_factory):
    prefix = tmp_path_factory.mktemp("tf1") / "InfoVAE_MNIST"
    write_checkpoint(values, prefix)
    return prefix


def test_names_and_shapes_are_the_originals(make_config):
    system = registry.build(make_config(image_shape=(64, 64, 3), scaling="tanh", latent=LatentSpec()))
    shapes = {name: list(v.shape) for name, v in tf1_checkpoints.all_variables(system).items()}
    assert shapes == json.loads((RECORDINGS / "tf1_checkpoint_chairs.json").read_text())


def test_round_trip_is_bit_exact(system, values, prefix, tmp_path):
    tf1_checkpoints.load(system, str(prefix))
    q, kernel = system.optimizers["q"], system.networks["generator"].get_layer("g_h4").kernel
    mean = system.networks["encoder"].get_layer("e_mean").kernel
    np.testing.assert_array_equal(mean, values["encoder/e_mean/Matrix"])
    np.testing.assert_array_equal(q.beta2_power, values["beta2_power_2"])
    index = [v.path for v in system.variables_of("q")].index(kernel.path)
    np.testing.assert_array_equal(q.v[index], values["decoder/g_h4/w/Adam_3"])
    assert tf1_checkpoints.save(system, str(tmp_path / "again")) == len(values)
    assert_same_bits(read_checkpoint(values, tmp_path / "again"), values)
    assert tf.train.load_checkpoint(str(tmp_path / "again")).get_variable_to_shape_map().keys() == values.keys()


def test_import_and_export_are_inverse(system, values, prefix, tmp_path, capsys):
    run, config, out = tmp_path / "run", tmp_path / "dry_run.json", tmp_path / "out" / "exported"
    write_json(provenance(system.config, "a test"), config)
    assert tf1.main(["import", str(prefix), str(run), "--config", str(config)]) == 0
    assert capsys.readouterr().out == f"Wrote {run / 'tiny-0'}\n"
    assert read_run(run / RUN_FILE)["start"] == str(prefix)
    opened, _ = open_run(run)
    mean = opened.networks["encoder"].get_layer("e_mean").kernel
    np.testing.assert_array_equal(mean, values["encoder/e_mean/Matrix"])
    assert tf1.main(["export", str(run), str(out)]) == 0
    assert f"Wrote {len(values)} variables" in capsys.readouterr().out
    assert_same_bits(read_checkpoint(values, out), values)
    assert tf1.main(["import", str(prefix), str(run), "--config", str(config)]) == 2
    assert "already holds a run: name another folder" in capsys.readouterr().err


def test_export_of_a_trained_system(system, values, prefix, tmp_path):
    tf1_checkpoints.load(system, str(prefix))
    system.step.assign(7)
    Checkpoints(system, tmp_path, "tiny").save()
    write_json(provenance(system.config, "a test"), tmp_path / RUN_FILE)
    assert tf1.main(["export", str(tmp_path / "tiny-7"), str(tmp_path / "exported")]) == 0
    assert_same_bits(read_checkpoint(values, tmp_path / "exported"), values)


def test_any_file_of_a_checkpoint_and_its_folder_name_it(tmp_path, monkeypatch):
    for ending in ("index", "data-00000-of-00001", "meta"):
        (tmp_path / f"model.ckpt-9.{ending}").touch()
        assert tf1_checkpoints.find(tmp_path / f"model.ckpt-9.{ending}") == str(tmp_path / "model.ckpt-9")
    assert tf1_checkpoints.find(str(tmp_path / "model.ckpt-9")) == str(tmp_path / "model.ckpt-9")
    assert tf1_checkpoints.find(tmp_path) == str(tmp_path / "model.ckpt-9")
    (tmp_path / "model.ckpt-10.index").touch()
    with pytest.raises(UserError, match="contains 2 checkpoints, name one of them: model.ckpt-10, model.ckpt-9$"):
        tf1_checkpoints.find(tmp_path)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/where/it/was/model.ckpt-9"\n')
    for name in (tmp_path, tmp_path / "checkpoint"):
        assert tf1_checkpoints.find(name) == str(tmp_path / "model.ckpt-9")
    monkeypatch.chdir(tmp_path)
    assert tf1_checkpoints.find("checkpoint") == "./model.ckpt-9"
    for damaged in (b"\xff", b"x", b'model_checkpoint_path: "other"', b""):
        (tmp_path / "checkpoint").write_bytes(damaged)
        with pytest.raises(UserError, match="contains 2 checkpoints"):
            tf1_checkpoints.find(tmp_path)


def test_a_folder_without_a_checkpoint_says_what_it_lacks(tmp_path):
    with pytest.raises(UserError, match="contains no TF1 checkpoint: it should contain NAME.index and"):
        tf1_checkpoints.find(tmp_path)


def test_a_prefix_that_ends_like_a_file_is_a_prefix(tmp_path):
    (tmp_path / "x.index.index").touch()
    assert tf1_checkpoints.find(tmp_path / "x.index") == str(tmp_path / "x.index")


def test_without_optimizers_the_networks_are_enough(make_config, values, tmp_path, caplog):
    system = registry.build(make_config(), training=False)
    networks = tf1_checkpoints.network_variables(system)
    weights = {name: values[name] for name in networks}
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "weights"),
        tensor_names=[*weights, "global_step", "ema/decay", "beta1_power", "half"],
        shape_and_slices=[""] * (len(weights) + 4),
        tensors=[*weights.values(), np.int64(7), np.float64(0.9), np.float32(0.5), np.float16(1)],
    )
    with caplog.at_level("INFO", "common"):
        tf1_checkpoints.load(system, tmp_path)
    assert caplog.messages == [f"{tmp_path}/weights: 3 variables are not used: ema/decay, global_step, half"]
    assert all(v.numpy().tobytes() == values[name].tobytes() for name, v in networks.items())


def test_training_needs_the_optimizers_and_says_what_does_not(system, values, tmp_path):
    write_checkpoint({name: values[name] for name in tf1_checkpoints.network_variables(system)}, tmp_path / "weights")
    with pytest.raises(UserError, match=r"missing: .*/Adam.*: sample, evaluate and figures work with it"):
        tf1_checkpoints.load(system, tmp_path / "weights")


def test_a_checkpoint_of_this_project_is_told_apart(system, tmp_path):
    Checkpoints(system, tmp_path, "tiny").save()
    with pytest.raises(UserError, match=r"tiny-\d is not a checkpoint of the original .*: use --checkpoint"):
        tf1_checkpoints.load(system, tmp_path)


def test_ctrl_c_is_one_line(monkeypatch, capsys):
    def interrupt(paths):
        raise KeyboardInterrupt

    monkeypatch.setattr(compare, "recordings_in", interrupt)
    assert tf1.main(["compare", "x"]) == 130
    assert capsys.readouterr().err == "python -m common.tf1: stopped\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "nothing", "x"], "no checkpoint at nothing"),
        (["import", "nothing", "out", "--script", "InfoVAE_MNIST"], "nothing is not a readable TF1 checkpoint"),
        (["import", "nothing", "out", "--config", "none.json"], "none.json not found"),
        (["compare", "x.json", "--iterations", "-1"], "--iterations must be at least 0, got -1"),
    ],
)
def test_errors_are_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert tf1.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("python -m common.tf1: error: ") and message in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_misfits_are_named_and_change_nothing(system, values, tmp_path):
    changed = {name: value for name, value in values.items() if not name.startswith("discriminator/d_bn")}
    changed |= {f"extra/{i}": np.zeros(2, np.float32) for i in range(3)}
    changed["encoder/e_mix/bias"] = np.zeros(11, np.float32)
    write_checkpoint(changed, tmp_path / "bad")
    before = [v.numpy().copy() for v in system.networks["encoder"].variables]
    with pytest.raises(UserError) as error:
        tf1_checkpoints.load(system, str(tmp_path / "bad"))
    missing, unexpected, wrong = str(error.value).split("; ")
    assert missing.count("discriminator/d_bn") == 10 and missing.endswith(", ...")
    assert unexpected == "3 unexpected: extra/0, extra/1, extra/2"
    assert wrong == "1 of another shape: encoder/e_mix/bias (is [11], should be [4])"
    assert all((a == b.numpy()).all() for a, b in zip(before, system.networks["encoder"].variables, strict=True))


def test_truncated_checkpoint_is_damaged(system, prefix, tmp_path):
    data = prefix.with_name(prefix.name + ".data-00000-of-00001").read_bytes()
    (tmp_path / "cut.index").write_bytes(prefix.with_name(prefix.name + ".index").read_bytes())
    (tmp_path / "cut.data-00000-of-00001").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="cut is damaged"):
        tf1_checkpoints.load(system, str(tmp_path / "cut"))


def test_layers_with_other_numbers_are_paired_in_order():
    ours, theirs = (
        {f"decoder/{layer}/{leaf}": np.zeros(n) for n, layer in zip((2, 3, 5), layers, strict=True) for leaf in "wb"}
        for layers in (("g_h2", "g_h3", "g_h8"), ("g_h2", "g_h9", "g_h10"))
    )
    shapes = {name: value.shape for name, value in theirs.items()}
    assert {name: value.shape for name, value in tf1_checkpoints.match(ours, shapes).items()} == shapes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "ali"}, "a TF1 checkpoint does not work with ALI"),
        ({"variant": "paper"}, "a TF1 checkpoint does not work with the paper's InfoVAEGAN"),
        ({"width": 0.5}, "a TF1 checkpoint requires --width 1, as the original has it, got 0.5"),
        ({"latent": LatentSpec(7, 0, 3)}, "a TF1 checkpoint requires --categories"),
        ({"rim_multiplier": 1.0, "encoder_shift": 2}, "a TF1 checkpoint requires --rim-multiplier 0"),
    ],
)
def test_other_systems_have_no_tf1_checkpoints(make_config, prefix, tmp_path, changes, message):
    other = registry.build(make_config(**changes))
    for use in (tf1_checkpoints.load, tf1_checkpoints.save):
        with pytest.raises(UserError, match=f"^{message}"):
            use(other, str(tmp_path / "out"))
    assert not list(tmp_path.iterdir())
