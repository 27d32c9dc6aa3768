"""One measurement of one configuration: everything that `python -m common.benchmark` reports."""

import dataclasses
import time

import numpy as np
import tensorflow as tf

from common import models
from common.benchmark import graph, machine
from common.benchmark.plain import Plain
from common.config import Config, provenance
from common.data.benchmark import peak_memory, reading_rate
from common.data.dataset import Dataset, Split
from common.data.pipeline import scale
from common.errors import UserError
from common.models.system import System

IMAGES = 2048  # Of the synthetic data that the input pipeline reads.
_PROFILED = 3  # Steps.


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        steps: training steps that are timed.
        warm_up: steps before them, the first one included.
        jit: compile the step with XLA.
        plain: the precision of the plain Keras step that is timed beside it; None for no such step.
        profile: a folder for a TensorFlow profile of a few more steps.
    """

    steps: int
    warm_up: int
    jit: bool = False
    plain: str | None = None
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
        return {"tracing_s": self.tracing, "first_step_s": self.first, "step_s": times, "images_per_s": self._images.shape[0] / times["median"],
                "gflop": graph.total_flops(found) / 1e9}


def measure(config: Config, plan: Plan) -> dict:
    """Builds the system that `config` names, times it on noise for images, and returns the report as JSON-ready values.

    Peak memory is that of the process after a first step, before there is any plain one.

    Raises UserError where there is no plain Keras step of this system.
    """
    if plan.plain and config.system != "infovaegan":
        raise UserError("--plain is a step of infovaegan with variant code; leave it out, or --model and --variant")
    if plan.jit:
        models.check_same_every_step(config, "--jit")
    pixels = np.random.RandomState(0).randint(0, 2 if config.scaling == "binary" else 256, (max(IMAGES, config.batch_size), *config.image_shape))
    dataset = Dataset("noise", Split(pixels.astype(np.uint8)))
    images = scale(tf.constant(dataset.train.take(0, config.batch_size)), config.scaling)
    start = time.perf_counter()
    system = models.build(config)
    if plan.jit:
        system.use_xla()
    build = time.perf_counter() - start
    step = _Step(system.train_step, images)
    memory = peak_memory()
    plain = _plain_step(config, plan, images) if plan.plain else None
    _time([step, *([plain] if plain else [])], plan)
    found = graph.operations(step.graph)
    report = {**provenance(config, dataset.source), "machine": machine.describe(), "plan": dataclasses.asdict(plan), "build_s": build, **step.report()}
    report["ceiling"] = machine.ceiling(found, plan.steps)
    report["part_of_ceiling"] = report["ceiling"]["seconds"] / report["step_s"]["median"]
    report["part_of_ceiling_by_the_fastest"] = report["ceiling"]["best_seconds"] / report["step_s"]["min"]
    report["copy_gb_per_s"] = machine.copy_bandwidth(plan.steps)
    if plain:
        report["plain"] = plain.report()
        report["times_as_fast_as_plain"] = report["plain"]["step_s"]["median"] / report["step_s"]["median"]
    report["sampling_images_per_s"], report["encoding_images_per_s"] = _inference_rates(system, images, plan.steps)
    report["input_images_per_s"] = reading_rate(dataset, config.scaling, max(plan.steps, 50), config.batch_size)
    report["peak_memory_mib"] = memory
    if plan.profile:
        with tf.profiler.experimental.Profile(plan.profile):
            for _ in range(_PROFILED):
                step.run()
    return report


def _plain_step(config: Config, plan: Plan, images: tf.Tensor) -> _Step:
    plain = Plain(models.build(dataclasses.replace(config, precision=plan.plain)))
    return _Step(plain.train_step, images)


def _time(steps: list[_Step], plan: Plan) -> None:
    """Takes turns, so that whatever else the machine does slows all alike."""
    for _ in range(plan.warm_up - 1):
        for step in steps:
            step.run()
    for _ in range(plan.steps):
        for step in steps:
            step.times.append(step.run())


def _inference_rates(system: System, images: tf.Tensor, rounds: int) -> tuple[float, float]:
    """Images a second that G makes and that E reads, in batches of the training size."""
    latents = system.draw_latents(tf.constant(0, tf.int64), images.shape[0])
    rates = []
    for run in (lambda: system.generate(*latents), lambda: system.encode(images)):
        run()
        rates.append(images.shape[0] / machine.summary([machine.seconds(run) for _ in range(rounds)])["median"])
    return tuple(rates)
