"""Batch norm's statistics, averages and gradients; initial weights; shapes of convolutions; `.keras` files."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.nn.layers import BatchNorm, conv, deconv, fixed_averages, layer_seed, linear, lrelu

pytestmark = pytest.mark.fast

BATCHES = {"rank 2": (16, 3), "rank 4": (4, 2, 5, 3)}
TRUNCATED = 0.879626  # The standard deviation of a standard normal cut off at 2.


@pytest.fixture(params=BATCHES.values(), ids=BATCHES.keys())
def batch(request):
    """A batch with another mean and deviation for each feature."""
    return (np.random.RandomState(0).normal(0, 1, request.param) * [1, 2, 0.1] + [3, -1, 0.2]).astype(np.float32)


def batch_norm(x, **arguments):
    """The layer, built for `x`, with other than its initial scale, centre and averages."""
    layer = BatchNorm(**arguments)
    layer.build(x.shape)
    values = {
        "gamma": [1.5, 0.5, -2.0],
        "beta": [0.1, -0.2, 0.3],
        "moving_mean": [1.0, 2.0, 3.0],
        "moving_variance": [4.0, 0.5, 1.0],
    }
    for weight, value in values.items():
        if getattr(layer, weight) is not None:
            getattr(layer, weight).assign(value)
    return layer


def normalised(x, layer, mean, variance):
    gamma = 1.0 if layer.gamma is None else layer.gamma.numpy().astype(np.float64)
    return (x - mean) / np.sqrt(variance + layer.epsilon) * gamma + layer.beta.numpy()


def statistics(x):
    """Mean and biased variance of each feature, float64, and the number of values."""
    axes = tuple(range(x.ndim - 1))
    return x.astype(np.float64).mean(axis=axes), x.astype(np.float64).var(axis=axes), x.size // x.shape[-1]


def averages(layer):
    return layer.moving_mean.numpy(), layer.moving_variance.numpy()


def test_the_defaults_are_the_originals():
    layer = BatchNorm()
    assert (layer.momentum, layer.epsilon, layer.center, layer.scale, layer.statistics) == (
        0.9,
        1e-5,
        True,
        True,
        "batch",
    )


@pytest.mark.parametrize("arguments", [{}, {"scale": False, "epsilon": 1e-3}], ids=["scale", "no scale"])
def test_inference_uses_batch_statistics_and_leaves_the_averages(batch, arguments):
    layer = batch_norm(batch, **arguments)
    before = averages(layer)
    mean, variance, _ = statistics(batch)
    for got in (layer(batch), layer(batch, training=False)):
        np.testing.assert_allclose(got, normalised(batch, layer, mean, variance), atol=2e-5)
    np.testing.assert_array_equal(averages(layer), before)


@pytest.mark.parametrize("mode", ["batch", "moving"])
@pytest.mark.parametrize("momentum", [0.9, 0.999])
def test_training_uses_batch_statistics_and_moves_the_averages(batch, momentum, mode):
    """average <- momentum average + (1 - momentum) value; the variance is the unbiased one, as TF1's fused kernel
    gives.
    """
    layer = batch_norm(batch, momentum=momentum, statistics=mode)
    before_mean, before_variance = averages(layer)
    mean, variance, n = statistics(batch)
    np.testing.assert_allclose(layer(batch, training=True), normalised(batch, layer, mean, variance), atol=2e-5)
    np.testing.assert_allclose(layer.moving_mean, momentum * before_mean + (1 - momentum) * mean, rtol=1e-6)
    np.testing.assert_allclose(
        layer.moving_variance, momentum * before_variance + (1 - momentum) * variance * n / (n - 1), rtol=1e-6
    )


def test_fixed_averages_stay_where_training_would_move_them(batch):
    layer = batch_norm(batch, statistics="moving")
    before = averages(layer)
    mean, variance, _ = statistics(batch)
    with fixed_averages():
        outputs = layer(batch, training=True)
    np.testing.assert_allclose(outputs, normalised(batch, layer, mean, variance), atol=2e-5)
    np.testing.assert_array_equal(averages(layer), before)
    layer(batch, training=True)
    assert (averages(layer)[0] != before[0]).all()


def test_moving_mode_infers_with_the_averages_and_leaves_them(batch):
    layer = batch_norm(batch, statistics="moving")
    before = averages(layer)
    np.testing.assert_allclose(layer(batch, training=False), normalised(batch, layer, *before), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(averages(layer), before)


def test_without_scale_there_is_no_gamma(batch):
    layer = batch_norm(batch, scale=False)
    assert [v.name for v in layer.trainable_variables] == ["beta"]
    assert [v.name for v in layer.variables] == ["beta", "moving_mean", "moving_variance"]


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_gradients_go_through_the_batch_statistics(batch, training, scale):
    """As those of the formula written out, for the inputs, the scale and the centre."""
    layer = batch_norm(batch, scale=scale)
    x, weights = tf.constant(batch), tf.constant(np.random.RandomState(1).normal(0, 1, batch.shape), tf.float32)
    sources = [x] + [v.value for v in layer.trainable_variables]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        got = tf.reduce_sum(weights * layer(x, training=training))
        mean, variance = tf.nn.moments(x, list(range(batch.ndim - 1)))
        plain = tf.reduce_sum(
            weights
            * tf.nn.batch_normalization(
                x, mean, variance, layer.beta.value, layer.gamma.value if scale else None, layer.epsilon
            )
        )
    for ours, wanted in zip(tape.gradient(got, sources), tape.gradient(plain, sources), strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-4)
        assert np.abs(wanted).max() > 0.1


def test_unknown_statistics_are_refused():
    with pytest.raises(ValueError, match="batch, moving or standing, got 'none'"):
        BatchNorm(statistics="none")


@pytest.mark.parametrize(
    "arguments",
    [{}, {"momentum": 0.999, "epsilon": 1e-3, "statistics": "moving", "scale": False}],
    ids=["defaults", "others"],
)
def test_a_keras_file_keeps_layer_and_weights(batch, tmp_path, arguments):
    layer = batch_norm(batch, name="norm", **arguments)
    inputs = keras.Input(batch.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    copy = loaded.get_layer("norm")
    assert isinstance(copy, BatchNorm)
    for argument in ("momentum", "epsilon", "statistics", "scale"):
        assert getattr(copy, argument) == getattr(layer, argument)
    np.testing.assert_array_equal(loaded(batch, training=False), model(batch, training=False))
    np.testing.assert_array_equal(averages(copy), averages(layer))


def kernel_and_bias(layer, shape):
    layer.build(shape)
    return layer.kernel.numpy(), layer.bias.numpy()


def test_convolutions_start_truncated_normal_with_sd_0_02():
    kernel, bias = kernel_and_bias(conv(128, 3, 2, seed=1, name="a"), (None, 8, 8, 64))
    assert kernel.shape == (3, 3, 64, 128)
    assert 0.0399 < np.abs(kernel).max() <= 0.04
    np.testing.assert_allclose([kernel.mean(), kernel.std() / (0.02 * TRUNCATED)], [0, 1], atol=1e-2)
    assert not bias.any() and bias.shape == (128,)


@pytest.mark.parametrize(
    ("layer", "inputs", "shape"),
    [
        (lambda: deconv(64, 3, 2, seed=1, name="a"), (None, 8, 8, 128), (3, 3, 64, 128)),
        (lambda: linear(128, seed=1, name="a"), (None, 600), (600, 128)),
    ],
    ids=["deconv", "linear"],
)
def test_other_kernels_start_normal_with_sd_0_02(layer, inputs, shape):
    kernel, bias = kernel_and_bias(layer(), inputs)
    assert kernel.shape == shape  # A transposed kernel is [h, w, out, in].
    np.testing.assert_allclose([kernel.mean(), kernel.std() / 0.02], [0, 1], atol=1e-2)
    np.testing.assert_allclose((np.abs(kernel) > 0.04).mean(), 0.0455, atol=4e-3)  # Not truncated.
    assert not bias.any()


def test_initial_weights_are_a_function_of_seed_and_name():
    def kernel(seed, name):
        return kernel_and_bias(linear(5, seed, name), (None, 4))[0]

    np.testing.assert_array_equal(kernel(1, "a"), kernel(1, "a"))
    assert (kernel(1, "a") != kernel(2, "a")).all()
    assert (kernel(1, "a") != kernel(1, "b")).all()
    assert (
        len(
            {
                layer_seed(seed, name)
                for seed in range(50)
                for name in ("e_h1_conv", "e_h2_conv", "encoder", "generator")
            }
        )
        == 200
    )
    assert 0 <= layer_seed(2**31 - 1, "x") < 2**31


@pytest.mark.parametrize(("size", "kernel", "halves"), [(28, 4, (14, 7)), (64, 3, (32, 16)), (7, 3, (4, 2))])
def test_same_convolutions_halve_and_double(size, kernel, halves):
    x = tf.zeros((1, size, size, 2))
    first = conv(3, kernel, 2, 0, "a")(x)
    second = conv(5, kernel, 2, 0, "b")(first)
    assert first.shape == (1, halves[0], halves[0], 3) and second.shape == (1, halves[1], halves[1], 5)
    assert deconv(4, kernel, 2, 0, "c")(second).shape == (1, 2 * halves[1], 2 * halves[1], 4)
    assert deconv(4, kernel, 1, 0, "d")(second).shape == (1, halves[1], halves[1], 4)


def test_a_transposed_convolution_is_a_convolutions_gradient():
    """As in TF1, where it is defined so: its SAME padding follows from the convolution's."""
    random = np.random.RandomState(0)
    layer = deconv(2, 3, 2, 0, "a")
    small, large = (tf.constant(random.normal(size=shape), tf.float32) for shape in ((1, 4, 4, 5), (1, 8, 8, 2)))
    got = layer(small)
    layer.bias.assign([10.0, 20.0])
    with tf.GradientTape() as tape:
        tape.watch(large)
        forward = tf.nn.conv2d(large, layer.kernel.value, 2, "SAME")
    np.testing.assert_allclose(got, tape.gradient(forward, large, output_gradients=small), atol=1e-6)
    np.testing.assert_allclose(layer(small) - got, np.broadcast_to([10.0, 20.0], got.shape), rtol=1e-5)


@pytest.mark.parametrize("make", [conv, deconv])
def test_a_bias_before_a_norm_has_no_gradient_and_no_effect(make):
    random = np.random.RandomState(0)
    x = tf.constant(random.normal(size=(4, 4, 4, 5)), tf.float32)
    layer, norm = make(2, 3, 2, 0, "a"), BatchNorm()
    without = norm(layer(x))
    layer.bias.assign([0.1, 0.2])
    with tf.GradientTape() as tape:
        outputs = norm(layer(x), training=True)
        loss = tf.reduce_sum(outputs * tf.constant(random.normal(size=outputs.shape), tf.float32))
    np.testing.assert_allclose(outputs, without, atol=1e-4)
    np.testing.assert_allclose(tape.gradient(loss, layer.bias), [0, 0], atol=1e-4)
    assert averages(norm)[0].max() > 0.01  # The bias has moved the mean.


def test_lrelu_has_slope_0_2():
    np.testing.assert_allclose(lrelu()(tf.constant([-5.0, -0.5, 0.0, 2.0])), [-1.0, -0.1, 0.0, 2.0], rtol=1e-6)
