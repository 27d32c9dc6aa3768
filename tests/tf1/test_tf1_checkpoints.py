"""TF1 checkpoints: the original's names, bit-exact both ways, and refusals that name what does not fit."""

import json

import numpy as np
import pytest
import tensorflow as tf

from common.config import RUN_FILE, LatentSpec, provenance
from common.errors import UserError
from common.io.atomic import write_json
from common.models import registry
from common.tf1 import checkpoints as tf1_checkpoints
from common.training.checkpoints import Checkpoints
from helpers.paths import RECORDINGS

GOLDEN = RECORDINGS / "tf1_checkpoint_chairs.json"


def write_checkpoint(values, prefix):
    """Writes name -> array with TF1's own Saver."""
    with tf.Graph().as_default():
        feeds = {}
        for name, value in values.items():
            feeds[tf.compat.v1.placeholder(tf.float32, value.shape)] = (
                value  # Constants of this size would clog the graph.
            )
            tf.compat.v1.Variable(list(feeds)[-1], name=name, use_resource=False)
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer(), feeds)
            tf.compat.v1.train.Saver().save(session, str(prefix), write_meta_graph=False)


def read_checkpoint(shapes, prefix):
    """Reads name -> array with TF1's own Saver."""
    with tf.Graph().as_default():
        variables = {name: tf.compat.v1.get_variable(name, shape, use_resource=False) for name, shape in shapes.items()}
        with tf.compat.v1.Session() as session:
            tf.compat.v1.train.Saver().restore(session, str(prefix))
            return session.run(variables)


@pytest.fixture(scope="module")
def system(make_config):
    return registry.build(make_config())


@pytest.fixture(scope="module")
def values(system):
    """A value for everything in a checkpoint, with the bits of a float32 in full use."""
    random = np.random.RandomState(1)
    return {
        name: random.normal(size=tuple(v.shape)).astype(np.float32)
        for name, v in tf1_checkpoints.all_variables(system).items()
    }


@pytest.fixture(scope="module")
def prefix(values, tmp_path_factory):
    prefix = tmp_path_factory.mktemp("tf1") / "InfoVAE_MNIST"
    write_checkpoint(values, prefix)
    return prefix


def test_names_and_shapes_are_the_original_s(make_config):
    if not GOLDEN.is_file():
        pytest.skip(f"{GOLDEN} is not here: it belongs to the recordings")
    system = registry.build(make_config(image_shape=(64, 64, 3), scaling="tanh", latent=LatentSpec()))
    assert {name: list(v.shape) for name, v in tf1_checkpoints.all_variables(system).items()} == json.loads(
        GOLDEN.read_text()
    )


def test_round_trip_is_bit_exact(system, values, prefix, tmp_path):
    tf1_checkpoints.load(system, str(prefix))
    q = system.optimizers["q"]
    np.testing.assert_array_equal(
        system.networks["encoder"].get_layer("e_mean").kernel, values["encoder/e_mean/Matrix"]
    )
    np.testing.assert_array_equal(q.beta2_power, values["beta2_power_2"])
    index = [v.path for v in system.variables_of("q")].index(system.networks["generator"].get_layer("g_h4").kernel.path)
    np.testing.assert_array_equal(q.v[index], values["decoder/g_h4/w/Adam_3"])
    tf1_checkpoints.save(system, str(tmp_path / "again"))
    again = read_checkpoint({name: value.shape for name, value in values.items()}, tmp_path / "again")
    assert all(again[name].tobytes() == value.tobytes() for name, value in values.items())
    assert tf.train.load_checkpoint(str(tmp_path / "again")).get_variable_to_shape_map().keys() == values.keys()


def test_export_of_a_run_s_checkpoint(system, values, prefix, tmp_path, capsys):
    tf1_checkpoints.load(system, str(prefix))
    system.step.assign(7)
    (tmp_path / "run").mkdir()
    Checkpoints(system, tmp_path / "run", "InfoVAE_MNIST").save()
    write_json(provenance(system.config, "a test"), tmp_path / "run" / RUN_FILE)
    assert tf1_checkpoints.main(["export", str(tmp_path / "run"), str(tmp_path / "out" / "exported")]) == 0
    assert f"Wrote {len(values)} variables" in capsys.readouterr().out
    exported = read_checkpoint({name: value.shape for name, value in values.items()}, tmp_path / "out" / "exported")
    assert all(exported[name].tobytes() == value.tobytes() for name, value in values.items())
    assert tf1_checkpoints.main(["export", str(tmp_path / "nothing"), str(tmp_path / "x")]) == 2
    assert "no checkpoint at" in capsys.readouterr().err


def test_what_does_not_fit_is_named_ten_at_most_of_each_and_changes_nothing(system, values, tmp_path):
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
    assert all((a == b.numpy()).all() for a, b in zip(before, system.networks["encoder"].variables))


def test_damaged_and_missing_checkpoints(system, prefix, tmp_path):
    with pytest.raises(UserError, match="no readable TF1 checkpoint"):
        tf1_checkpoints.load(system, str(tmp_path / "nothing"))
    data = prefix.with_name(prefix.name + ".data-00000-of-00001").read_bytes()
    (tmp_path / "cut.index").write_bytes(prefix.with_name(prefix.name + ".index").read_bytes())
    (tmp_path / "cut.data-00000-of-00001").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="cut is damaged"):
        tf1_checkpoints.load(system, str(tmp_path / "cut"))


def test_layers_counted_otherwise_are_paired_in_order():
    ours = {
        f"decoder/{layer}/{leaf}": np.zeros(n)
        for n, layer in ((2, "g_h2"), (3, "g_h3"), (5, "g_h8"))
        for leaf in ("w", "biases")
    }
    theirs = {
        f"decoder/{layer}/{leaf}": [n]
        for n, layer in ((2, "g_h2"), (3, "g_h9"), (5, "g_h10"))
        for leaf in ("w", "biases")
    }
    matched = tf1_checkpoints.match(ours, theirs)
    assert {name: value.shape for name, value in matched.items()} == {
        name: tuple(shape) for name, shape in theirs.items()
    }


@pytest.mark.parametrize("changes", [{"model": "ali"}, {"variant": "paper"}])
def test_a_system_that_the_original_lacks_has_no_tf1_checkpoints(make_config, prefix, tmp_path, changes):
    other = registry.build(make_config(**changes))
    for use in (
        lambda: tf1_checkpoints.load(other, str(prefix)),
        lambda: tf1_checkpoints.save(other, str(tmp_path / "out")),
    ):
        with pytest.raises(
            UserError,
            match="^the original has no (ali|infovaegan with variant paper), .* some of: infogan, infovaegan$",
        ):
            use()
    assert not list(tmp_path.glob("out*"))
