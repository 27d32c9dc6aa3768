"""bfloat16: what stays float32, how near its results are, and that its checkpoints are float32's."""

import numpy as np
import pytest
import tensorflow as tf

from common import config
from common.models import registry
from common.nn.layers import BatchNorm
from common.training.checkpoints import Checkpoints

SYSTEMS = [{}, {"model": "infogan", "first_batch_norm": True}, {"variant": "paper", "critic_steps": 1}]


@pytest.mark.parametrize("changes", SYSTEMS, ids=["infovaegan", "infogan", "paper"])
def test_bfloat16_keeps_float32_outputs_and_nearly_its_losses(make_config, images, changes):
    losses = {}
    for precision in config.PRECISIONS:
        system = registry.build(make_config(precision=precision, **changes))
        losses[precision] = tf.function(system.train_step)(images)
    assert {v.dtype for v in system.state().values()} == {tf.float32, tf.int64}
    assert {output.dtype for network in system.networks.values() for output in tf.nest.flatten(network.output)} == {
        "float32"
    }
    for name, value in losses["float32"].items():
        assert losses["bfloat16"][name].dtype == tf.float32
        np.testing.assert_allclose(losses["bfloat16"][name], value, rtol=3e-2, atol=3e-2, err_msg=name)


def test_all_convolutions_and_batch_norms_are_bfloat16(make_config, images):
    kinds = ("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter", "FusedBatchNormV3")

    def types(precision):
        system = registry.build(make_config(precision=precision))
        operations = tf.function(system.train_step).get_concrete_function(images).graph.get_operations()
        return {kind: {op.outputs[0].dtype.name for op in operations if op.type == kind} for kind in kinds}

    for precision in config.PRECISIONS:
        assert types(precision) == {kind: {precision} for kind in kinds}


def test_building_in_bfloat16_leaves_the_rest_of_keras_alone(make_config):
    import keras

    registry.build(make_config(precision="bfloat16"))
    assert keras.config.dtype_policy().name == "float32"


def test_batch_norm_of_bfloat16_has_float32_statistics():
    """Their digits show in the averages: 1.001 is no bfloat16."""
    layer = BatchNorm(dtype="mixed_bfloat16", momentum=0.0)
    x = np.repeat([[1.0], [1.0078125]], [872, 128], axis=0).astype(
        np.float32
    )  # Both are bfloat16s; their mean is 1.001.
    assert layer(tf.cast(x, tf.bfloat16), training=True).dtype == tf.bfloat16
    np.testing.assert_allclose(layer.moving_mean, [1.001], rtol=1e-6)
    assert layer.gamma.dtype == layer.beta.dtype == "float32"


@pytest.mark.parametrize(("written", "read"), [("float32", "bfloat16"), ("bfloat16", "float32")])
def test_checkpoints_are_interchangeable(make_config, tmp_path, written, read):
    first, second = (registry.build(make_config(precision=precision)) for precision in (written, read))
    first.step.assign(3)
    first.networks["encoder"].get_layer("d_bn2").gamma.assign(tf.linspace(0.0, 1.0, 128))
    Checkpoints(first, tmp_path, "a").save()
    Checkpoints(second, tmp_path, "a").restore_latest()
    wanted = first.state()
    for name, value in second.state().items():
        np.testing.assert_array_equal(value.numpy(), wanted[name].numpy(), err_msg=name)
