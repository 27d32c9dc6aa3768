"""`--smoke` of every script."""

import re

import numpy as np
import pytest
import tensorflow as tf
from scripts import run
from tiny import Tiny, config

from common import checkpoints, smoke


@pytest.mark.parametrize("script", ["MNIST", "3DChairs", "CelebA", "dSprites"])
def test_smoke(script, tmp_path):
    process = run(f"InfoVAE_{script}.py", "--smoke", home=tmp_path)
    assert process.returncode == 0, process.stderr
    assert re.search(rf"^PASS: data, training, checkpoint, resume, evaluation and figures of InfoVAE_{script}-synthetic work here", process.stdout, re.MULTILINE)


@pytest.mark.parametrize(("name", "factor", "noticed"), [
    ("generator/last/bias", 1 + 2e-7, True), ("epoch_mean/loss/total", 1 + 2e-7, False), ("epoch_mean/loss/total", 1 + 1e-5, True),
    ("epoch_mean/loss/count", 1 + 2e-7, True)])
def test_what_counts_as_the_same_result(name, factor, noticed, tmp_path):
    system = Tiny(config())
    variable = checkpoints.state(system)[name]
    variable.assign(tf.fill(variable.shape, 3.0))
    first = checkpoints.Checkpoints(system, tmp_path, "first").save()
    before = variable.numpy()
    variable.assign(before * np.float32(factor))
    assert (variable.numpy() != before).all()
    second = checkpoints.Checkpoints(system, tmp_path, "second").save()
    assert bool(smoke._differences(first, second)) == noticed
