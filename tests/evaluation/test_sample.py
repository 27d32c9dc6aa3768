"""The command `sample`."""

import json
import runpy

import numpy as np
import pytest

from common import cli
from common.models import registry
from common.tf1 import checkpoints as tf1_checkpoints
from helpers.paths import ROOT

CONFIG = runpy.run_path(str(ROOT / "InfoVAE_MNIST.py"))["CONFIG"]


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """A TF1 checkpoint of the MNIST script's system with seed 4."""
    path = str(tmp_path_factory.mktemp("tf1") / "checkpoint")
    system = registry.build(cli.resolve(CONFIG, vars(cli.parser(CONFIG, "", "train").parse_args(["--seed", "4"]))))
    tf1_checkpoints.save(system, path)
    return path


def sample(*arguments):
    return cli.main(CONFIG, "", ["sample", *map(str, arguments)])


def test_images_are_g_of_the_latents_that_were_brought(prefix, tmp_path):
    random = np.random.RandomState(0)
    z, u = random.uniform(-1, 1, (6, 100)), random.uniform(-1, 1, (6, 12))
    np.savez(tmp_path / "l.npz", z=z, u=u)
    assert sample("--tf1-checkpoint", prefix, "--latents", tmp_path / "l.npz", "--out", tmp_path / "o.npz") == 0
    written = np.load(tmp_path / "o.npz")
    system = registry.build(cli.resolve(CONFIG, vars(cli.parser(CONFIG, "", "train").parse_args(["--seed", "4"]))))
    np.testing.assert_array_equal(written["G"], system.generate(z.astype(np.float32), u.astype(np.float32)))
    assert prefix in json.loads(str(written["provenance"]))["data"]


@pytest.mark.parametrize(
    "arrays, words",
    [
        ({"z": np.zeros((3, 100))}, "lacks u"),
        ({"z": np.zeros((3, 99)), "u": np.zeros((3, 12))}, "z must be numbers [n, 100]"),
        ({"z": np.zeros((3, 100)), "u": np.zeros((4, 12))}, "z has 3 rows and u has 4"),
        ({"z": np.full((3, 100), np.nan), "u": np.zeros((3, 12))}, "not finite"),
        ({"z": np.array([[{}]], object), "u": np.zeros((3, 12))}, "is not a readable .npz"),
    ],
)
def test_bad_latents(prefix, tmp_path, capsys, arrays, words):
    np.savez(tmp_path / "l.npz", **arrays)
    assert sample("--tf1-checkpoint", prefix, "--latents", tmp_path / "l.npz", "--out", tmp_path / "o.npz") == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "o.npz").exists()


def test_it_needs_one_checkpoint(tmp_path, capsys):
    assert sample("--latents", tmp_path / "l.npz", "--out", tmp_path / "o.npz") == 2
    assert "one of --checkpoint and --tf1-checkpoint" in capsys.readouterr().err


def test_flags_that_a_checkpoint_answers_are_refused(tmp_path, capsys):
    assert (
        sample(
            "--checkpoint", tmp_path, "--categories", "4", "--latents", tmp_path / "l.npz", "--out", tmp_path / "o.npz"
        )
        == 2
    )
    assert "--categories is for training and --tf1-checkpoint" in capsys.readouterr().err
