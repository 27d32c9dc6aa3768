"""TF1's Adam: its formula, its state, and TF1's own optimizer, bit for bit."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.nn.optimizers import TF1Adam

pytestmark = pytest.mark.fast

RATE, BETA1, BETA2 = 1e-2, 0.5, 0.999
SHAPES = [(3, 2), (4,)]
STEPS = 6


@pytest.fixture
def start():
    """Two initial values and `STEPS` pairs of gradients, from tiny to large, float32."""
    random = np.random.RandomState(0)
    values = [random.normal(0, 1, shape).astype(np.float32) for shape in SHAPES]
    gradients = [
        [(random.normal(0, 1, shape) * 10.0 ** random.uniform(-6, 2)).astype(np.float32) for shape in SHAPES]
        for _ in range(STEPS)
    ]
    return values, gradients


def optimizer_of(variables, **changes):
    optimizer = TF1Adam(RATE, BETA1, BETA2, **{"epsilon": 1e-8, **changes})
    optimizer.build(variables)
    return optimizer


def adam(values, gradients, epsilon):
    """REFERENCE section 4 in float64: the values after each step, and the moments at the end."""
    values = [v.astype(np.float64) for v in values]
    m, v, history = [0.0 * x for x in values], [0.0 * x for x in values], []
    for t, step in enumerate(gradients, start=1):
        rate = RATE * np.sqrt(1 - BETA2**t) / (1 - BETA1**t)
        for i, g in enumerate(np.float64(g) for g in step):
            m[i] = BETA1 * m[i] + (1 - BETA1) * g
            v[i] = BETA2 * v[i] + (1 - BETA2) * g**2
            values[i] = values[i] - rate * m[i] / (np.sqrt(v[i]) + epsilon)
        history.append([x.copy() for x in values])
    return history, m, v


@pytest.mark.parametrize("epsilon", [1e-8, 0.1])
def test_steps_follow_the_formula(start, epsilon):
    """With epsilon 0.1 its place shows: outside the root and not divided by the bias correction."""
    values, gradients = start
    variables = [keras.Variable(v) for v in values]
    optimizer = optimizer_of(variables, epsilon=epsilon)
    history, m, v = adam(values, gradients, epsilon)
    for step, wanted in zip(gradients, history, strict=True):
        optimizer.apply([tf.constant(g) for g in step], variables)
        for variable, x in zip(variables, wanted, strict=True):
            np.testing.assert_allclose(variable, x, rtol=2e-5, atol=1e-6)
    for moments, wanted in ((optimizer.m, m), (optimizer.v, v)):
        for moment, x in zip(moments, wanted, strict=True):
            np.testing.assert_allclose(moment, x, rtol=1e-4)


def test_epsilon_is_not_where_keras_has_it():
    """The first step by hand: v = 0.001 g^2 and lr_1 = lr sqrt(0.001) / 0.5; Keras's own Adam would divide by |g| +
    epsilon.
    """
    variables = [keras.Variable([0.0])]
    optimizer_of(variables, epsilon=0.1).apply([tf.constant([2.0])], variables)
    wanted = -RATE * np.sqrt(0.001) / 0.5 * 1.0 / (np.sqrt(0.004) + 0.1)
    np.testing.assert_allclose(variables[0], [wanted], rtol=1e-5)
    assert abs(wanted + RATE * 2 / (2 + 0.1)) > 0.5 * RATE


def test_a_decaying_rate_is_followed():
    """Along a constant gradient Adam moves by the rate: the whole of it, a half after two steps more, a quarter after
    four.
    """
    variables = [keras.Variable([0.0])]
    optimizer = TF1Adam(keras.optimizers.schedules.ExponentialDecay(RATE, 2, 0.5), BETA1, BETA2)
    optimizer.build(variables)
    moved = []
    for _ in range(5):
        before = variables[0].numpy()
        optimizer.apply([tf.constant([3.0])], variables)
        moved.append((before - variables[0].numpy()).item())
    np.testing.assert_allclose(moved, RATE * 0.5 ** (np.arange(5) / 2), rtol=1e-4)


def test_powers_are_products_accumulated_in_float32(start):
    values, gradients = start
    variables = [keras.Variable(v) for v in values]
    optimizer = optimizer_of(variables)
    wanted = [np.float32(BETA1), np.float32(BETA2)]
    assert [float(optimizer.beta1_power), float(optimizer.beta2_power)] == [float(p) for p in wanted]
    for step in gradients:
        optimizer.apply([tf.constant(g) for g in step], variables)
        wanted = [wanted[0] * np.float32(BETA1), wanted[1] * np.float32(BETA2)]
    assert [p.numpy() for p in (optimizer.beta1_power, optimizer.beta2_power)] == wanted
    assert int(optimizer.iterations) == STEPS


def test_state_is_two_moments_per_variable_and_the_powers():
    variables = [keras.Variable(np.ones(shape, np.float32)) for shape in SHAPES]
    optimizer = optimizer_of(variables)
    for moments in (optimizer.m, optimizer.v):
        assert [tuple(moment.shape) for moment in moments] == SHAPES
        assert not any(np.any(moment) for moment in moments)
    assert int(optimizer.iterations) == 0
    before = len(optimizer.variables)
    optimizer.build(variables)  # A second time makes no second state.
    assert len(optimizer.variables) == before


def test_only_the_variables_that_are_given_move(start):
    values, gradients = start
    variables, bystander = [keras.Variable(v) for v in values], keras.Variable(values[0])
    optimizer = optimizer_of(variables)
    optimizer.apply([tf.constant(g) for g in gradients[0]], variables)
    np.testing.assert_array_equal(bystander, values[0])
    assert all((variable.numpy() != v).all() for variable, v in zip(variables, values, strict=True))


def test_arguments_survive_serialisation():
    optimizer = keras.optimizers.deserialize(keras.optimizers.serialize(TF1Adam(RATE, 0.25, 0.75, 0.125, name="q")))
    assert isinstance(optimizer, TF1Adam)
    np.testing.assert_allclose(optimizer.learning_rate, RATE)
    assert (optimizer.beta1, optimizer.beta2, optimizer.epsilon, optimizer.name) == (0.25, 0.75, 0.125, "q")


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "tf.function"])
def test_bits_are_those_of_tf1s_optimizer(start, compiled):
    """tf.compat.v1.train.AdamOptimizer in a graph: variables, moments and powers are the same to the last bit."""
    values, gradients = start
    with tf.Graph().as_default():
        placeholders = [tf.compat.v1.placeholder(tf.float32, shape) for shape in SHAPES]
        originals = [tf.compat.v1.get_variable(f"v{i}", initializer=v) for i, v in enumerate(values)]
        original = tf.compat.v1.train.AdamOptimizer(RATE, BETA1, BETA2, 1e-8)
        update = original.apply_gradients(zip(placeholders, originals, strict=True))
        slots = [[original.get_slot(v, name) for v in originals] for name in ("m", "v")]
        fetches = originals + slots[0] + slots[1] + list(original._get_beta_accumulators())
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            for step in gradients:
                session.run(update, dict(zip(placeholders, step, strict=True)))
            wanted = session.run(fetches)

    variables = [keras.Variable(v) for v in values]
    optimizer = optimizer_of(variables)
    apply = (
        tf.function(lambda *g: optimizer.apply(list(g), variables))
        if compiled
        else lambda *g: optimizer.apply(list(g), variables)
    )
    for step in gradients:
        apply(*(tf.constant(g) for g in step))
    got = variables + optimizer.m + optimizer.v + [optimizer.beta1_power, optimizer.beta2_power]
    for ours, theirs in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)
