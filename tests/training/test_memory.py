"""A long run takes no more memory than a short one and is traced once; no data set is ever copied."""

import concurrent.futures
import gc
import multiprocessing
import pathlib
import resource
import tracemalloc

import numpy as np
import pytest
import tensorflow as tf

from common.data.pipeline import Batches
from helpers.tiny import Tiny, config

STEPS, WARM_UP = 200, 40


def resident() -> int:
    """Bytes of this process that are in memory now."""
    return int(pathlib.Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def tensors() -> int:
    gc.collect()
    return sum(issubclass(type(thing), tf.Tensor | tf.Variable) for thing in gc.get_objects())


class Watched(Tiny):
    """Counts how often its step is traced."""

    traces = 0

    def train_step(self, images):
        self.traces += 1
        return super().train_step(images)


def watch() -> dict[str, int]:
    """What 200 steps leave behind, after 40 that warm up."""
    system, images = Watched(config()), np.zeros((20, 2, 2, 1), np.uint8)
    batches = Batches(images, 4, "unit", 0)

    def train(first, last):
        system.fit(
            batches.from_step(first, last),
            initial_epoch=0,
            epochs=(last - first) // 5,
            steps_per_epoch=5,
            shuffle=False,
            verbose=0,
        )

    train(0, WARM_UP)
    bytes_before, tensors_before = resident(), tensors()
    tracemalloc.start()
    train(WARM_UP, WARM_UP + STEPS)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return {
        "steps": int(system.step.numpy()),
        "traces": system.traces,
        "tensors": tensors() - tensors_before,
        "held": held,
        "resident": resident() - bytes_before,
    }


@pytest.mark.skipif(not pathlib.Path("/proc/self/statm").exists(), reason="the memory of a process is read from /proc")
def test_memory_does_not_grow_with_the_number_of_steps():
    # A process of its own: what other tests hold and free moves a worker's memory by more than what is looked for.
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        left = pool.submit(watch).result(timeout=300)
    assert left["steps"] == WARM_UP + STEPS
    assert left["traces"] == 1
    assert left["tensors"] <= 5  # The second data set's own.
    assert left["held"] < STEPS * 2000  # Bytes that Python still holds: less than one tensor a step would be.
    assert left["resident"] < 30 << 20, left


def test_a_system_that_is_gone_leaves_nothing_behind():
    def train():
        Tiny(config()).fit(np.zeros((4, 2, 2, 1), np.float32), batch_size=4, verbose=0)
        return tensors()

    train()
    assert train() == train()


def test_an_epoch_copies_a_batch_at_a_time_and_never_all_images():
    images = np.zeros((2000, 28, 28, 3), np.uint8)
    batches = Batches(images, 20, "tanh", 0)
    tracemalloc.start()
    for epoch in range(2):
        for batch in batches.from_step(100 * epoch, 100 * (epoch + 1)):
            assert batch.shape == (20, 28, 28, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < images.nbytes / 4
