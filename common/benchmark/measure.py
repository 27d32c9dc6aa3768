"""One measurement of one configuration: everything that `python -m common.benchmark` reports."""

import dataclasses
import math
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from common.benchmark import graph, machine
from common.benchmark.input_pipeline import peak_memory, reading_rate
from common.benchmark.plain import Parts, Plain
from common.config import Config
from common.data.dataset import Dataset, Split
from common.data.pipeline import scale
from common.errors import UserError
from common.models import registry
from common.models.system import System
from common.runs import provenance
from common.training import threads

IMAGES = 2048  # Of the synthetic data that the input pipeline reads.
_PROFILED = 3  # Steps.
_UPDATED = 7 * 4  # Bytes a parameter and update: Adam reads four float32 numbers, gradient included, and writes three.


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        steps: training steps that are timed.
        warm_up: steps before them, the first one included.
        jit: compile the step with XLA.
        plain: the precision of the plain Keras step that is timed beside it; None for no such step.
        gains: time that step also with the product's parts put in one after the other.
        profile: a folder for a TensorFlow profile of a few more steps.
    """

    steps: int
    warm_up: int
    jit: bool = False
    plain: str | None = None
    gains: bool = False
    profile: str | None = None


class _Step:
    """A training step as `fit` runs it, with the times that it took."""

    def __init__(self, train_step, images: tf.Tensor):
        self._images = images
        self._function = tf.function(train_step, autograph=False)
        start = time.perf_counter()
        self.graph = self._function.get_concrete_function(images).graph
        self.tracing = time.perf_counter() - start
        self.first = self.run()
        self.times = []

    def run(self) -> float:
        return machine.seconds(lambda: self._function(self._images))

    def report(self) -> dict:
        found, times = graph.operations(self.graph), machine.summary(self.times)
        return {
            "tracing_s": self.tracing,
            "first_step_s": self.first,
            "step_s": times,
            "images_per_s": self._images.shape[0] / times["median"],
            "gflop": graph.total_flops(found) / 1e9,
        }


def measure(config: Config, plan: Plan, progress: Callable[[dict], None] = lambda report: None) -> dict:
    """Builds the system that `config` names, times it on noise for images, and returns the report as JSON-ready values.

    Peak memory is that of the process after a first step, before there is any plain one. `progress` is called with the report
    so far each time that something has been added to it.

    Raises UserError where there is no plain Keras step of this system.
    """
    if plan.plain and config.system != "infovaegan":
        raise UserError(
            "--plain and --gains are steps of infovaegan with variant code; leave them out, or --model and --variant"
        )
    if plan.jit:
        registry.require_equal_steps(config, "--jit")
    pixels = np.random.RandomState(0).randint(
        0, 2 if config.scaling == "binary" else 256, (max(IMAGES, config.batch_size), *config.image_shape)
    )
    dataset = Dataset("noise", Split(pixels.astype(np.uint8)))
    images = scale(tf.constant(dataset.train.take(0, config.batch_size)), config.scaling)
    report = {**provenance(config, dataset.source), "machine": machine.describe(), "plan": dataclasses.asdict(plan)}

    def add(**values):
        report.update(values)
        progress(report)

    start = time.perf_counter()
    system = registry.build(config)
    if plan.jit:
        system.compile_with_xla()
    build = time.perf_counter() - start
    step = _Step(system.train_step, images)
    add(build_s=build, tracing_s=step.tracing, first_step_s=step.first, peak_memory_mib=peak_memory())
    others = [_plain_step(config, plan, images, parts) for parts in _parts(plan)]
    alone = machine.Ceiling(graph.operations(step.graph), threads.parallel_ops(), plan.jit)
    _time([step, *others], alone, plan)
    add(**step.report())
    if others:
        plain = others[0].report()
        add(plain=plain, times_as_fast_as_plain=plain["step_s"]["median"] / report["step_s"]["median"])
    if plan.gains:
        add(gains={name: other.report() for name, other in zip(Parts._fields, others[1:], strict=True)})
    ceiling = alone.report()
    add(
        ceiling=ceiling,
        part_of_ceiling=ceiling["seconds"] / report["step_s"]["median"],
        part_of_ceiling_by_the_fastest=ceiling["best_seconds"] / report["step_s"]["min"],
    )
    bandwidth = machine.copy_bandwidth(plan.steps)
    updates = (
        _UPDATED
        * sum(math.prod(v.shape) for name in system.optimizers for v in system.variables_of(name))
        / 1e9
        / bandwidth
    )
    add(
        copy_gb_per_s=bandwidth,
        updates_s=updates,
        part_of_ceiling_with_updates=(ceiling["seconds"] + updates) / report["step_s"]["median"],
    )
    sampling, encoding = _inference_rates(system, images, plan.steps)
    add(sampling_images_per_s=sampling, encoding_images_per_s=encoding)
    add(input_images_per_s=reading_rate(dataset, config.scaling, max(plan.steps, 50), config.batch_size))
    if plan.profile:
        with tf.profiler.experimental.Profile(plan.profile):
            for _ in range(_PROFILED):
                step.run()
    return report


def _parts(plan: Plan) -> list[Parts]:
    """Of each plain step that `plan` asks for: none, then with `gains` the first part, the first two, and so on."""
    if not plan.plain:
        return []
    return [
        Parts(*(i < count for i in range(len(Parts._fields))))
        for count in range(len(Parts._fields) + 1 if plan.gains else 1)
    ]


def _plain_step(config: Config, plan: Plan, images: tf.Tensor, parts: Parts) -> _Step:
    plain = Plain(registry.build(dataclasses.replace(config, precision=plan.plain)), parts)
    return _Step(plain.train_step, images)


def _time(steps: list[_Step], alone: machine.Ceiling, plan: Plan) -> None:
    """Takes turns, so that whatever else the machine does slows all alike."""
    for _ in range(plan.warm_up - 1):
        for step in steps:
            step.run()
    for _ in range(plan.steps):
        for step in steps:
            step.times.append(step.run())
        alone.run()


def _inference_rates(system: System, images: tf.Tensor, rounds: int) -> tuple[float, float]:
    """Images a second that G makes and that E reads, in batches of the training size."""
    latents = system.sample_latents(tf.constant(0, tf.int64), images.shape[0])
    rates = []
    for run in (lambda: system.generate(*latents), lambda: system.encode(images)):
        run()
        rates.append(images.shape[0] / machine.summary([machine.seconds(run) for _ in range(rounds)])["median"])
    return tuple(rates)
