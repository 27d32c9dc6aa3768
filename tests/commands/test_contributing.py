"""The examples of CONTRIBUTING.md: a data set, a system and a metric, run as they stand on the page."""

import re
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from common.config import LatentSpec
from common.models import registry
from common.options import Cache
from helpers.paths import ROOT
from helpers.systems import make_config

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def example(words):
    """The code block that follows these words."""
    return re.search(rf"{re.escape(words)}.*?```python\n(.*?)```", PAGE, re.DOTALL)[1]


def module(name, words, monkeypatch):
    """The example as an importable module."""
    made = types.ModuleType(name)
    exec(compile(example(words), f"{name} in CONTRIBUTING.md", "exec"), made.__dict__)
    monkeypatch.setitem(sys.modules, name, made)
    return made


def test_the_data_set_is_read(monkeypatch, tmp_path):
    glyphs = module("common.data.glyphs", "`common/data/glyphs.py`:", monkeypatch)
    images = np.random.RandomState(0).randint(0, 256, (20, 28, 28, 1), np.uint8)
    np.savez(tmp_path / "glyphs.npz", x=images, y=np.arange(20) % 10)
    dataset = glyphs.read(tmp_path, Cache(None, False))
    assert dataset.label == "glyph" and len(dataset.train) == 20
    np.testing.assert_array_equal(dataset.train.take(0, 20), images)
    assert glyphs.synthetic().synthetic


def test_the_system_trains_and_reconstructs(monkeypatch):
    module("common.models.autoencoder", "`common/models/autoencoder.py`:", monkeypatch)
    monkeypatch.setattr(registry, "_SPECS", dict(registry._SPECS))
    exec(compile(example("Its entry in `common/models/registry.py`:"), "CONTRIBUTING.md", "exec"), vars(registry))
    config = registry.with_system(make_config(), "autoencoder", "code", learning_rate=1e-2)
    assert config.latent == LatentSpec(0, 0, 10)
    system = registry.build(config)
    images = tf.random.stateless_uniform((8, 28, 28, 1), seed=[1, 2])
    losses = [float(system.train_step(images)["ae_loss"]) for _ in range(10)]
    assert losses[-1] < losses[0]
    assert system.encode(images).mean.shape == (8, 10)
    assert system.reconstruct(images, tf.constant([0, 0])).shape == images.shape
    assert len(system.state()) == len(set(system.state()))


def test_the_metric_passes_its_test(monkeypatch):
    name = "common.evaluation.metrics.usage"
    usage = module(name, "`common/evaluation/metrics/usage.py`:", monkeypatch)
    names = {**vars(usage), "np": np, "pytest": pytest}
    exec(compile(example("The test:"), "CONTRIBUTING.md", "exec"), names)
    names["test_equal_use_of_four_categories_counts_four"]()
