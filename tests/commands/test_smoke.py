"""`--smoke` of every script."""

import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import InfoVAE_MNIST
from common import cli, smoke
from common.errors import UserError
from common.models import registry
from common.options import RunFolders
from common.training import checkpoints
from helpers.scripts import run
from helpers.tiny import config

PASSED = "^PASS: data, training, checkpoint, resume, evaluation and figures of {} work here"


@pytest.mark.parametrize("script", ["MNIST", "CelebA", "dSprites"])
def test_on_synthetic_data(script, tmp_path):
    """In narrow networks at 64 pixels; the next test has one at full width."""
    narrow = [] if script == "MNIST" else ["--width", "0.125"]
    process = run(f"InfoVAE_{script}.py", "--smoke", *narrow, home=tmp_path)
    assert process.returncode == 0, process.stderr
    assert re.search(PASSED.format(f"InfoVAE_{script}-synthetic"), process.stdout, re.MULTILINE)


def test_on_a_folder_of_renders(tmp_path):
    for chair in ("a1", "b2"):
        renders = tmp_path / "data" / "rendered_chairs" / chair / "renders"
        renders.mkdir(parents=True)
        for i in range(5):
            pixels = np.full((600, 600, 3), 255, np.uint8)
            pixels[200 + 10 * i : 400, 220:380] = (90, 30 * i, 20)
            Image.fromarray(pixels).save(renders / f"image_{i:03}_p020_t{i * 11:03}_r096.png")
    process = run("InfoVAE_3DChairs.py", "--smoke", "--data-dir", tmp_path / "data", home=tmp_path)
    assert process.returncode == 0, process.stderr
    assert re.search(PASSED.format("InfoVAE_3DChairs"), process.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("flags", "used"),
    [
        ([], (None, "synthetic")),
        (["--data", "real"], (None, "real")),
        (["--data-dir", "x"], (pathlib.Path("x"), "real")),
        (["--data", "synthetic"], (None, "synthetic")),
    ],
)
def test_it_takes_the_data_that_the_flags_name(flags, used, monkeypatch, capsys):
    def train(config, options, load):
        raise UserError(f"{options.data_dir}, {options.data}")

    monkeypatch.setattr(smoke.commands, "train", train)
    assert cli.main(InfoVAE_MNIST.CONFIG, "", ["--smoke", *flags]) == 2
    assert capsys.readouterr().err.endswith(f": error: {used[0]}, {used[1]}\n")


@pytest.mark.parametrize(
    ("differing", "said"),
    [
        (["state/x"], "FAIL: after resuming from tiny-2, 1 variables differ .*, the first state/x"),
        ([], "FAIL: .*figure_class_grid.png.* not written"),
    ],
)
def test_a_fault_ends_the_self_test_with_1(differing, said, monkeypatch):
    def train(settings, options, load):
        folder = RunFolders.of("tiny-synthetic", options.out).models
        folder.mkdir(parents=True, exist_ok=True)
        for step in (2, 4):
            (folder / f"tiny-{step}.index").touch()

    monkeypatch.setattr(smoke.commands, "train", train)
    monkeypatch.setattr(smoke, "_differences", lambda first, second: differing)
    with pytest.raises(smoke.Failed, match=said) as caught:
        smoke.smoke(config(), None, "synthetic")
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("name", ["generator/last/bias", "epoch_mean/loss/total", "epoch_mean/loss/count"])
def test_one_bit_of_one_variable_is_a_difference(name, tmp_path):
    system = registry.build(config())
    variable = system.state()[name]
    variable.assign(tf.fill(variable.shape, 3.0))
    first = checkpoints.Checkpoints(system, tmp_path, "first").save()
    assert not smoke._differences(first, first)
    variable.assign(tf.fill(variable.shape, np.nextafter(np.float32(3.0), np.float32(4.0))))
    second = checkpoints.Checkpoints(system, tmp_path, "second").save()
    assert len(smoke._differences(first, second)) == 1
