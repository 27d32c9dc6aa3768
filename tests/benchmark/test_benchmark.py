"""The benchmark: arithmetic counted from graphs, against counts by hand; the plain step, which must compute the same; the report."""

import json
import math
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.benchmark import __main__ as benchmark
from common.benchmark import graph, machine
from common.benchmark.plain import Parts, Plain
from common.config import LatentSpec
from common.models import registry
from common.nn.layers import BatchNorm, ConvBeforeNorm, DeconvBeforeNorm
from common.nn.networks import build_discriminator, build_encoder, build_generator

IMAGES, KERNEL, MATRIX = (2, 8, 6, 3), (3, 3, 3, 5), (60, 7)  # Stride 2 gives [2, 4, 3, 5], which is [2, 60].
CONV, PRODUCT = 2 * (2 * 4 * 3 * 5) * (3 * 3 * 3), 2 * 2 * 60 * 7


def count(function, *shapes):
    return graph.operations(
        tf.function(function).get_concrete_function(*(tf.TensorSpec(shape) for shape in shapes)).graph
    )


def small(images, kernel, matrix):
    return tf.reshape(tf.nn.conv2d(images, kernel, 2, "SAME"), [2, 60]) @ matrix


def gradients(images, kernel, matrix):
    """By kernel and matrix, not by the images."""
    with tf.GradientTape() as tape:
        tape.watch([kernel, matrix])
        loss = tf.reduce_sum(small(images, kernel, matrix) ** 2)
    return tape.gradient(loss, [kernel, matrix])


def test_a_forward_pass_by_hand():
    found = count(small, IMAGES, KERNEL, MATRIX)
    assert sorted((operation.kind, operation.flops, times) for operation, times in found.items()) == [
        ("Conv2D", CONV, 1),
        ("MatMul", PRODUCT, 1),
    ]
    assert graph.total_flops(found) == 120 * 27 * 2 + 14 * 60 * 2


def test_gradients_by_hand_and_only_those_that_are_asked_for():
    """The convolution once for the kernel, the product once for the matrix and once for what comes before it; nothing for the images."""
    kinds = {operation.kind: 0 for operation in count(gradients, IMAGES, KERNEL, MATRIX)}
    assert set(kinds) == {"Conv2D", "Conv2DBackpropFilter", "MatMul"}
    assert graph.total_flops(count(gradients, IMAGES, KERNEL, MATRIX)) == 2 * CONV + 3 * PRODUCT


def test_a_transposed_convolution_is_as_much_as_the_convolution():
    found = count(lambda y, kernel: tf.nn.conv2d_transpose(y, kernel, IMAGES, 2), (2, 4, 3, 5), KERNEL)
    assert [(operation.kind, operation.output, operation.flops) for operation in found] == [
        ("Conv2DBackpropInput", IMAGES, CONV)
    ]


def test_what_no_result_needs_is_not_counted_and_what_is_done_twice_is_counted_twice():
    def function(images, kernel, matrix):
        small(images, kernel, matrix)
        return small(images, kernel, matrix) + small(2 * images, kernel, matrix)

    assert set(count(function, IMAGES, KERNEL, MATRIX).values()) == {2}


def test_functions_within_and_the_dearer_branch_are_counted():
    inner = tf.function(small, autograph=False)
    assert count(lambda *operands: inner(*operands), IMAGES, KERNEL, MATRIX) == count(small, IMAGES, KERNEL, MATRIX)

    def function(choice, images, kernel, matrix):
        return tf.cond(
            choice > 0,
            lambda: small(images, kernel, matrix),
            lambda: small(images, kernel, matrix) + small(-images, kernel, matrix),
        )

    assert graph.total_flops(count(function, (), IMAGES, KERNEL, MATRIX)) == 2 * (CONV + PRODUCT)


@pytest.mark.parametrize(("dtype", "jit"), [("float32", False), ("bfloat16", False), ("bfloat16", True)])
def test_each_operation_runs_alone(dtype, jit):
    found = count(
        lambda *operands: gradients(*(tf.cast(operand, dtype) for operand in operands)), IMAGES, KERNEL, MATRIX
    )
    found += count(
        lambda y, kernel: tf.nn.conv2d_transpose(tf.cast(y, dtype), tf.cast(kernel, dtype), IMAGES, 2),
        (2, 4, 3, 5),
        KERNEL,
    )
    assert {operation.kind for operation in found} == {
        "Conv2D",
        "Conv2DBackpropInput",
        "Conv2DBackpropFilter",
        "MatMul",
    }
    for operation in found:
        run, pairs = operation.alone(jit, copies=2)
        results = run(*pairs)
        assert [(result.shape, result.dtype.name) for result in results] == [(operation.output, dtype)] * 2
        assert (
            results[0].numpy() != results[1].numpy()
        ).any()  # Other operands, or TensorFlow would run but one of them.


def ceiling_of(found, monkeypatch, copies=1, idle=1e-3, busy=5e-3):
    """Of operations that take `busy` seconds a call, where a call alone takes `idle`."""
    ceiling = machine.Ceiling(found, copies)
    calls = iter([idle, *[busy] * len(found), idle, *[busy] * len(found), 2 * idle, *[3 * busy] * len(found)])
    monkeypatch.setattr(machine, "seconds", lambda run: next(calls))
    for _ in range(3):
        ceiling.run()
    return ceiling.report()


def test_the_ceiling_is_the_sum_of_its_operations(monkeypatch):
    """Each by its median less what a call costs, shared among the copies, as often as it is run."""
    found = count(small, IMAGES, KERNEL, MATRIX)
    found += found
    for copies in (1, 2):
        ceiling = ceiling_of(found, monkeypatch, copies)
        assert [(row["count"], row["seconds"]) for row in ceiling["operations"]] == [
            (2, pytest.approx(2 * 4e-3 / copies))
        ] * 2
        assert ceiling["seconds"] == ceiling["best_seconds"] == pytest.approx(4 * 4e-3 / copies)
        assert ceiling["gflops"] == pytest.approx(2 * (CONV + PRODUCT) / 1e9 / ceiling["seconds"])
        assert sum(row["gflop"] for row in ceiling["operations"]) == pytest.approx(2 * (CONV + PRODUCT) / 1e9)


def test_what_takes_no_longer_than_nothing_has_no_rate(monkeypatch):
    ceiling = ceiling_of(count(small, IMAGES, KERNEL, MATRIX), monkeypatch, idle=1e-3, busy=1e-3)
    assert (ceiling["seconds"], ceiling["gflops"]) == (0.0, None)


def test_operations_alone_are_timed_in_turn(monkeypatch):
    order = []
    monkeypatch.setattr(machine, "seconds", lambda run: order.append(run) or 1.0)
    ceiling = machine.Ceiling(count(small, IMAGES, KERNEL, MATRIX))
    ceiling.run()
    ceiling.run()
    assert len(order) == 6 and order[:3] == order[3:] and len(set(order)) == 3


def test_a_step_is_counted_alike_under_xla_and_the_plain_one_is_a_pass_of_the_generator_more(make_config):
    config = make_config()
    images, system, xla = (
        tf.zeros((config.batch_size, *config.image_shape)),
        registry.build(config),
        registry.build(config),
    )
    xla.compile_with_xla()
    steps = {"system": system, "xla": xla, "plain": Plain(system), "shared": Plain(system, Parts(shared_images=True))}
    flops = {
        name: graph.total_flops(
            graph.operations(tf.function(one.train_step, autograph=False).get_concrete_function(images).graph)
        )
        for name, one in steps.items()
    }
    forward = count(
        lambda noise, code: system.networks["generator"]([noise, code]),
        (config.batch_size, config.latent.noise),
        (config.batch_size, config.latent.code),
    )
    assert flops["xla"] == flops["shared"] == flops["system"]
    assert flops["plain"] == flops["system"] + graph.total_flops(forward)


@pytest.mark.parametrize("parts", [Parts(), Parts(*(True for _ in Parts._fields))])
def test_the_plain_step_computes_the_same_losses_whatever_its_parts(system, parts):
    plain = Plain(system, parts)
    images = tf.random.stateless_uniform((system.config.batch_size, *system.config.image_shape), [1, 2])
    wanted, got = tf.function(system.train_step)(images), tf.function(plain.train_step)(images)
    for name, value in got.items():
        # All but d_loss are behind Adam's first, sign-like step, in which Keras has epsilon elsewhere.
        np.testing.assert_allclose(value, wanted[name], rtol=1e-5 if name == "d_loss" else 2e-2)
    assert int(plain.step) == 1
    kinds = {type(layer) for network in plain.networks.values() for layer in network.layers}
    kerass = any(issubclass(kind, keras.layers.BatchNormalization) and kind is not BatchNorm for kind in kinds)
    assert (BatchNorm in kinds, kerass) == (parts.fused_batch_norm, not parts.fused_batch_norm)
    assert (DeconvBeforeNorm in kinds, ConvBeforeNorm in kinds) == (parts.bias_in_norm, parts.bias_in_norm)


def test_a_report_with_everything_and_its_ratios(make_config, tmp_path, capsys):
    arguments = ["mnist", "--batch-size", "4", "--steps", "2", "--warm-up", "1", "--noise", "5"]
    assert (
        benchmark.main(
            [*arguments, "--gains", "--json", str(tmp_path / "a.json"), "--profile", str(tmp_path / "profile")]
        )
        == 0
    )
    report = json.loads((tmp_path / "a.json").read_text())
    assert capsys.readouterr().out.strip() == benchmark.table(report)
    assert all(benchmark.value_at(report, place) > 0 for _, place, _ in benchmark.ROWS)
    assert (
        report["config"]["batch_size"] == 4
        and report["config"]["latent"]["noise"] == 5
        and report["versions"]["tensorflow"] == tf.__version__
    )
    assert report["step_s"]["min"] <= report["step_s"]["median"] and report["step_s"]["count"] == 2
    assert report["part_of_ceiling"] == pytest.approx(report["ceiling"]["seconds"] / report["step_s"]["median"])
    assert report["gflop"] == pytest.approx(sum(row["gflop"] for row in report["ceiling"]["operations"]))
    assert report["part_of_ceiling_with_updates"] == pytest.approx(
        (report["ceiling"]["seconds"] + report["updates_s"]) / report["step_s"]["median"]
    )
    latent = LatentSpec(**report["config"]["latent"])
    encoder, generator, discriminator = (
        sum(math.prod(v.shape) for v in build(make_config(latent=latent)).trainable_variables)
        for build in (build_encoder, build_generator, build_discriminator)
    )
    parameters = discriminator + generator + (encoder + generator) + encoder  # Those that d, g, q and vae move.
    assert report["updates_s"] == pytest.approx(28 * parameters / 1e9 / report["copy_gb_per_s"])
    assert report["machine"]["cores"] >= 1 and list(tmp_path.glob("profile/**/*.xplane.pb"))

    earlier = {**report, "gflop": report["gflop"] / 2}
    lines = benchmark.table(report, earlier).splitlines()
    assert all(line.endswith("1.000 x") for line in lines[1:] if "arithmetic" not in line)
    assert [line.split()[-2] for line in lines if "arithmetic" in line] == ["2.000", "1.000"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--against", "nowhere.json"], "--against nowhere.json: cannot be read"),
        (["--against", "other.json"], "holds no measured step"),
        (["--json", "no/such/a.json"], "there is no folder"),
        (["--plain", "--model", "infogan"], "--plain and --gains are steps of infovaegan"),
        (["--jit", "--variant", "paper"], "--jit cannot be used with infovaegan with variant paper"),
    ],
)
def test_mistakes_are_answered_in_one_line(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.json").write_text("[]")
    assert benchmark.main(["mnist", "--steps", "1", *arguments]) == 2
    assert re.fullmatch(rf"python -m common.benchmark: error: .*{re.escape(said)}.*\n", capsys.readouterr().err)


@pytest.mark.parametrize("name", benchmark.SCRIPTS)
def test_every_script_has_its_own_configuration(name):
    assert benchmark.script_config(name).name == benchmark.SCRIPTS[name].removesuffix(".py")
