"""One measurement of one configuration: everything that `python -m common.benchmark <data set>` reports."""

import dataclasses
import math
import statistics
import time

import numpy as np
import tensorflow as tf

from common import threads
from common.benchmark import graph, machine
from common.benchmark.input_pipeline import peak_memory, reading_rate
from common.benchmark.plain import build_plain
from common.config import Config
from common.data.dataset import Dataset, Split
from common.data.pipeline import scale
from common.data.pixels import RANGES
from common.models import registry
from common.models.system import System
from common.run_json import provenance

_IMAGES = 2048  # Of the noise that the input pipeline reads.
_UPDATED = (
    7 * 4
)  # Bytes per parameter and update: Adam reads four float32 numbers, gradient included, and writes three.
# Each number in the report: its label in the table, and its format.
ROWS = {
    "build_s": ("building the system", "{:.2f} s"),
    "tracing_s": ("tracing the step", "{:.2f} s"),
    "first_step_s": ("first step", "{:.2f} s"),
    "peak_memory_mib": ("peak memory after it", "{:.0f} MiB"),
    "step_s": ("training step, median", "{:.4f} s"),
    "step_lower_quartile_s": ("  lower quartile", "{:.4f} s"),
    "step_upper_quartile_s": ("  upper quartile", "{:.4f} s"),
    "fastest_step_s": ("  fastest", "{:.4f} s"),
    "images_per_s": ("  images", "{:.1f} /s"),
    "gflop": ("  arithmetic", "{:.1f} GFLOP"),
    "plain_step_s": ("plain Keras step, median", "{:.4f} s"),
    "plain_fastest_step_s": ("  fastest", "{:.4f} s"),
    "plain_over_step": ("  plain / step", "{:.2f}"),
    "ceiling_s": ("ceiling: convolutions and products alone", "{:.4f} s"),
    "ceiling_gflops": ("  rate", "{:.1f} GFLOP/s"),
    "ceiling_over_step": ("  ceiling / step", "{:.1%}"),
    "fastest_ceiling_over_step": ("  fastest ceiling / fastest step", "{:.1%}"),
    "copy_gb_per_s": ("copies", "{:.1f} GB/s"),
    "updates_s": ("updates of the parameters at that rate", "{:.4f} s"),
    "ceiling_and_updates_over_step": ("  (ceiling + updates) / step", "{:.1%}"),
    "sampling_images_per_s": ("sampling", "{:.1f} images/s"),
    "encoding_images_per_s": ("encoding", "{:.1f} images/s"),
    "input_images_per_s": ("input pipeline alone", "{:.0f} images/s"),
}


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        steps: training steps that are timed; the other things are timed as often.
        warm_up: steps before them, including the first one.
        jit: compile the step with XLA.
        plain: precision of a step in plain Keras that is timed too; None for no such step.
        profile: folder for a TensorFlow profile of three more steps.
    """

    steps: int
    warm_up: int
    jit: bool = False
    plain: str | None = None
    profile: str | None = None


class _Step:
    """A training step as `fit` runs it, and the times that it took."""

    def __init__(self, system: System, images: tf.Tensor, jit: bool = False):
        if jit:
            system.compile_with_xla()
        function = tf.function(system.train_step, autograph=False)
        start = time.perf_counter()
        self.operations = graph.operations(function.get_concrete_function(images).graph)
        self.tracing = time.perf_counter() - start
        self.times: list[float] = []
        self._call = lambda: function(images)
        self.first = self.run()

    def run(self) -> float:
        """One more step; returns its time in seconds."""
        self.times.append(machine.seconds(self._call))
        return self.times[-1]


def step_seconds(config: Config, steps: int, warm_up: int) -> float:
    """Return the median time of a training step of `config` in seconds, on noise."""
    step = _Step(registry.build(config), _noise(config, config.batch_size)[1])
    for _ in range(warm_up - 1):
        step.run()
    return statistics.median(step.run() for _ in range(steps))


def _noise(config: Config, count: int) -> tuple[Dataset, tf.Tensor]:
    """Return a data set of `count` images of noise of a configuration's shape, and a batch of it."""
    pixels = np.random.RandomState(0).randint(0, RANGES[config.scaling].highest + 1, (count, *config.image_shape))
    dataset = Dataset("noise", Split(pixels.astype(np.uint8)))
    return dataset, scale(tf.constant(dataset.train.take(0, config.batch_size)), config.scaling)


def measure(config: Config, plan: Plan) -> dict:
    """Time the system of `config` on noise and return the report as JSON-ready values.

    "numbers" has the keys of `ROWS`, as far as they were measured; "operations" those of the ceiling, one by one.
    """
    if plan.jit:
        registry.require_equal_steps(config, "--jit")
    dataset, images = _noise(config, max(_IMAGES, config.batch_size))
    start = time.perf_counter()
    system = registry.build(config)
    numbers = {"build_s": time.perf_counter() - start}
    step = _Step(system, images, plan.jit)
    numbers |= {"tracing_s": step.tracing, "first_step_s": step.first, "peak_memory_mib": peak_memory()}
    plain = _Step(build_plain(dataclasses.replace(config, precision=plan.plain)), images) if plan.plain else None
    alone = machine.Ceiling(step.operations, threads.parallel_ops(), plan.jit)
    operations = _time([step, plain] if plain else [step], alone, plan)
    numbers |= _step_numbers(step, operations, config.batch_size)
    if plain:
        numbers |= {"plain_step_s": statistics.median(plain.times), "plain_fastest_step_s": min(plain.times)}
        numbers["plain_over_step"] = numbers["plain_step_s"] / numbers["step_s"]
    parameters = sum(math.prod(v.shape) for name in system.optimizers for v in system.variables_of(name))
    numbers["copy_gb_per_s"] = machine.copy_bandwidth(plan.steps)
    numbers["updates_s"] = _UPDATED * parameters / 1e9 / numbers["copy_gb_per_s"]
    numbers["ceiling_and_updates_over_step"] = (numbers["ceiling_s"] + numbers["updates_s"]) / numbers["step_s"]
    numbers |= _inference_rates(system, images, plan.steps)
    numbers["input_images_per_s"] = reading_rate(dataset, config.scaling, max(plan.steps, 50), config.batch_size)
    if plan.profile:
        with tf.profiler.experimental.Profile(plan.profile):
            for _ in range(3):
                step.run()
    about = {"machine": machine.describe(), "plan": dataclasses.asdict(plan)}
    return {**provenance(config, dataset.source), **about, "numbers": numbers, "operations": operations}


def _time(steps: list[_Step], alone: machine.Ceiling, plan: Plan) -> list[dict]:
    """Take turns, so that whatever else the machine does slows all of them; returns the rows of the ceiling."""
    for _ in range(plan.warm_up - 1):
        for step in steps:
            step.run()
    for step in steps:
        step.times.clear()
    for _ in range(plan.steps):
        for step in steps:
            step.run()
        alone.run()
    return alone.report()


def _step_numbers(step: _Step, operations: list[dict], batch_size: int) -> dict:
    median, fastest = statistics.median(step.times), min(step.times)
    total = {name: sum(row[name] for row in operations) for name in ("seconds", "best_seconds", "gflop")}
    return {
        "step_s": median,
        "step_lower_quartile_s": float(np.quantile(step.times, 0.25)),
        "step_upper_quartile_s": float(np.quantile(step.times, 0.75)),
        "fastest_step_s": fastest,
        "images_per_s": batch_size / median,
        "gflop": total["gflop"],
        "ceiling_s": total["seconds"],
        "ceiling_gflops": total["gflop"] / total["seconds"] if total["seconds"] else None,
        "ceiling_over_step": total["seconds"] / median,
        "fastest_ceiling_over_step": total["best_seconds"] / fastest,
    }


def _inference_rates(system: System, images: tf.Tensor, rounds: int) -> dict:
    """Return how many images per second are sampled and encoded, in batches of the training size, if possible."""
    calls, size = {}, system.config.batch_size
    if system.can("sample"):
        latents = system.sample_latents(tf.constant(0, tf.int64), size)
        calls["sampling_images_per_s"] = lambda: system.generate(latents)
    if system.can("encode"):
        calls["encoding_images_per_s"] = lambda: system.encode(images)
    for call in calls.values():
        call()
    times = {name: statistics.median(machine.seconds(call) for _ in range(rounds)) for name, call in calls.items()}
    return {name: size / median for name, median in times.items()}


def table(report: dict, earlier: dict | None = None) -> str:
    """Return the report as text; with the numbers of an `earlier` one, each number's ratio to it."""
    config, numbers = report["config"], report["numbers"]
    precision = config["precision"] + (", XLA" if report["plan"]["jit"] else "")
    system = (
        f"{config['name']}, {config['model']} ({config['variant']}), batches of {config['batch_size']}, {precision}"
    )
    lines = [f"{system}; {report['machine']['processor']}, {report['machine']['cores']} cores"]
    for name, (label, form) in ROWS.items():
        value, before = numbers.get(name), (earlier or {}).get(name)
        if value is not None:
            lines.append(f"{label:<42}{form.format(value):>16}" + (f"{value / before:>10.3f} x" if before else ""))
    return "\n".join(lines)
