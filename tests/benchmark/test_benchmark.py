"""The benchmark: arithmetic counted from graphs against counts by hand, the plain step, and the report."""

import json
import math
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.benchmark import __main__ as benchmark
from common.benchmark import graph, machine, measure
from common.benchmark.plain import build_plain
from common.models import registry
from common.nn.layers import BatchNorm
from common.runs import SCRIPTS, load_script

IMAGES, KERNEL, MATRIX = (2, 8, 6, 3), (3, 3, 3, 5), (60, 7)  # Stride 2 gives [2, 4, 3, 5], which is [2, 60].
CONV, PRODUCT = 2 * (2 * 4 * 3 * 5) * (3 * 3 * 3), 2 * 2 * 60 * 7


def count(function, *shapes):
    return graph.operations(tf.function(function).get_concrete_function(*map(tf.TensorSpec, shapes)).graph)


def small(images, kernel, matrix):
    return tf.reshape(tf.nn.conv2d(images, kernel, 2, "SAME"), [2, 60]) @ matrix


def gradients(images, kernel, matrix):
    """By kernel and matrix, not by the images."""
    with tf.GradientTape() as tape:
        tape.watch([kernel, matrix])
        loss = tf.reduce_sum(small(images, kernel, matrix) ** 2)
    return tape.gradient(loss, [kernel, matrix])


def transposed(y, kernel):
    return tf.nn.conv2d_transpose(y, kernel, IMAGES, 2)


def test_forward_pass_by_hand():
    found = count(small, IMAGES, KERNEL, MATRIX)
    rows = sorted((operation.kind, operation.flops, times) for operation, times in found.items())
    assert rows == [("Conv2D", CONV, 1), ("MatMul", PRODUCT, 1)]
    assert graph.total_flops(found) == 120 * 27 * 2 + 14 * 60 * 2


def test_only_requested_gradients_are_counted():
    """The convolution again for the kernel, the product for the matrix and for its input; nothing for the images."""
    found = count(gradients, IMAGES, KERNEL, MATRIX)
    assert {operation.kind for operation in found} == {"Conv2D", "Conv2DBackpropFilter", "MatMul"}
    assert graph.total_flops(found) == 2 * CONV + 3 * PRODUCT


def test_transposed_convolution_counts_as_its_convolution():
    (operation,) = count(transposed, (2, 4, 3, 5), KERNEL)
    assert (operation.kind, operation.output, operation.flops) == ("Conv2DBackpropInput", IMAGES, CONV)


def test_unused_results_are_not_counted():
    def function(images, kernel, matrix):
        small(images, kernel, matrix)
        return small(images, kernel, matrix) + small(2 * images, kernel, matrix)

    assert set(count(function, IMAGES, KERNEL, MATRIX).values()) == {2}


def test_inner_functions_and_larger_branches_are_counted():
    inner = tf.function(small, autograph=False)
    assert count(lambda *operands: inner(*operands), IMAGES, KERNEL, MATRIX) == count(small, IMAGES, KERNEL, MATRIX)

    def function(choice, images, kernel, matrix):
        once, twice = (lambda: small(images, kernel, matrix)), lambda: once() + small(-images, kernel, matrix)
        return tf.cond(choice > 0, once, twice)

    assert graph.total_flops(count(function, (), IMAGES, KERNEL, MATRIX)) == 2 * (CONV + PRODUCT)


@pytest.mark.parametrize(("dtype", "jit"), [("float32", False), ("bfloat16", False), ("bfloat16", True)])
def test_each_operation_runs_alone(dtype, jit):
    def cast(function):
        return lambda *operands: function(*(tf.cast(operand, dtype) for operand in operands))

    found = count(cast(gradients), IMAGES, KERNEL, MATRIX) + count(cast(transposed), (2, 4, 3, 5), KERNEL)
    assert {operation.kind for operation in found} == set(graph._KINDS)
    for operation in found:
        run, pairs = operation.alone(jit, copies=2)
        results = run(*pairs)
        assert [(result.shape, result.dtype.name) for result in results] == [(operation.output, dtype)] * 2
        # Equal operands would be computed once.
        assert (results[0].numpy() != results[1].numpy()).any()


@pytest.mark.parametrize(
    ("copies", "idle", "busy", "each"), [(1, 1e-3, 5e-3, 4e-3), (2, 1e-3, 5e-3, 2e-3), (1, 1, 1, 0)]
)
def test_ceiling_is_time_without_calls(monkeypatch, copies, idle, busy, each):
    """The median less what a call costs, shared among the copies, as often as the operation runs."""
    found = count(small, IMAGES, KERNEL, MATRIX)
    found += found
    ceiling = machine.Ceiling(found, copies)
    times = iter([idle, busy, busy, idle, busy, busy, 2 * idle, 3 * busy, 3 * busy])
    monkeypatch.setattr(machine, "seconds", lambda run: next(times))
    for _ in range(3):
        ceiling.run()
    rows = ceiling.report()
    for row in rows:
        assert row["count"] == 2 and row["seconds"] == row["best_seconds"] == pytest.approx(2 * each)
    assert sum(row["gflop"] for row in rows) == pytest.approx(2 * (CONV + PRODUCT) / 1e9)


def test_plain_and_xla_steps_compute_the_same(make_config):
    config = make_config(width=0.25)
    images = tf.random.stateless_uniform((config.batch_size, *config.image_shape), [1, 2])
    system, plain, xla = registry.build(config), build_plain(config), registry.build(config)
    xla.compile_with_xla()
    steps = [tf.function(one.train_step).get_concrete_function(images) for one in (system, plain, xla)]
    flops = {graph.total_flops(graph.operations(step.graph)) for step in steps}
    assert len(flops) == 1 and flops.pop() > 0
    expected, losses = steps[0](images), steps[1](images)
    for name, value in losses.items():
        # All but d_loss follow Adam's first, sign-like step, in which Keras has epsilon elsewhere.
        np.testing.assert_allclose(value, expected[name], rtol=1e-5 if name == "d_loss" else 2e-2)
    layers = {type(layer) for network in plain.networks.values() for layer in network.layers}
    assert keras.layers.BatchNormalization in layers and BatchNorm not in layers
    assert {type(optimizer) for optimizer in plain.optimizers.values()} == {keras.optimizers.Adam}


def test_report_has_every_number_and_ratios(tmp_path, capsys):
    output = tmp_path / "a.json"
    flags = ["--batch-size", "4", "--steps", "2", "--warm-up", "1", "--noise", "5", "--width", "0.25"]
    assert benchmark.main(["mnist", *flags, "--plain", "--json", str(output), "--profile", str(tmp_path / "p")]) == 0
    report = json.loads(output.read_text())
    numbers = report["numbers"]
    assert capsys.readouterr().out.strip() == measure.table(report)
    assert numbers.keys() == measure.ROWS.keys()
    # A ceiling is a difference of two times, which noise can make 0 for operations as small as these; the rate is None.
    assert all("ceiling" in name and not value or value > 0 for name, value in numbers.items())
    config = report["config"]
    assert (config["batch_size"], config["latent"]["noise"], config["hyper"]["width"]) == (4, 5, 0.25)
    assert report["versions"]["tensorflow"] == tf.__version__ and report["machine"]["cores"] >= 1
    assert list(tmp_path.glob("p/**/*.xplane.pb"))

    total = {name: sum(row[name] for row in report["operations"]) for name in ("gflop", "seconds", "best_seconds")}
    step, fastest = numbers["step_s"], numbers["fastest_step_s"]
    assert fastest <= numbers["step_lower_quartile_s"] <= step <= numbers["step_upper_quartile_s"]
    assert numbers["images_per_s"] == pytest.approx(4 / step)
    assert numbers["plain_over_step"] == pytest.approx(numbers["plain_step_s"] / step)
    assert numbers["gflop"] == pytest.approx(total["gflop"])
    rate = pytest.approx(total["gflop"] / total["seconds"]) if total["seconds"] else None
    assert numbers["ceiling_gflops"] == rate
    assert numbers["ceiling_over_step"] == pytest.approx(total["seconds"] / step)
    assert numbers["fastest_ceiling_over_step"] == pytest.approx(total["best_seconds"] / fastest)
    assert numbers["ceiling_and_updates_over_step"] == pytest.approx((total["seconds"] + numbers["updates_s"]) / step)
    networks = registry.build(registry.config_from_plain(config), training=False).networks
    encoder, generator, discriminator = (
        sum(math.prod(v.shape) for v in networks[name].trainable_variables)
        for name in ("encoder", "generator", "discriminator")
    )
    parameters = discriminator + generator + (encoder + generator) + encoder  # Updated by d, g, q and vae.
    assert numbers["updates_s"] == pytest.approx(28 * parameters / 1e9 / numbers["copy_gb_per_s"])

    earlier = benchmark.read_earlier(output)
    lines = measure.table(report, {**earlier, "gflop": earlier["gflop"] / 2}).splitlines()[1:]
    assert [line.split()[-2] for line in lines] == ["2.000" if "arithmetic" in line else "1.000" for line in lines]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--against", "nowhere.json"], "--against nowhere.json is not a readable --json file"),
        (["--against", "other.json"], "--against other.json is not a readable --json file"),
        (["--json", "no/such/a.json"], "there is no folder"),
        (["--jit", "--variant", "paper"], "--jit does not work with the paper's InfoVAEGAN"),
    ],
)
def test_errors_are_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.json").write_text("[]")
    assert benchmark.main(["mnist", "--steps", "1", *arguments]) == 2
    assert re.fullmatch(rf"python -m common.benchmark: error: .*{re.escape(message)}.*\n", capsys.readouterr().err)


@pytest.mark.parametrize("script", SCRIPTS.values())
def test_every_script_has_its_configuration(script):
    assert load_script(script)[0].name == script
