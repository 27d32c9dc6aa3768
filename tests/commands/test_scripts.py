"""The scripts as a user runs them: as processes, for a few steps, on real files made here."""

import csv
import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import common.nn.layers  # noqa: F401  The layers that a saved network is made of.
from helpers.scripts import run


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home folder that holds no data."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    """A folder with a small mnist.npz."""
    folder = tmp_path_factory.mktemp("mnist with spaces")
    random = np.random.RandomState(0)
    np.savez(
        folder / "mnist.npz",
        x_train=random.randint(0, 256, (70, 28, 28)).astype(np.uint8),
        y_train=np.arange(70) % 10,
        x_test=random.randint(0, 256, (20, 28, 28)).astype(np.uint8),
        y_test=np.arange(20) % 10,
    )
    return folder


def train(home, out, *flags):
    """Trains MNIST's script on small batches into `out`."""
    return run("InfoVAE_MNIST.py", "--batch-size", 16, "--seed", 3, "--out", out, *flags, home=home)


@pytest.fixture(scope="module")
def mnist_run(tmp_path_factory, home, mnist):
    """Two epochs of two steps: the folder they wrote to, and what was printed."""
    out = tmp_path_factory.mktemp("run")
    process = train(home, out, "--data-dir", mnist, "--epochs", 2, "--steps-per-epoch", 2, "--tensorboard")
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""  # None of TensorFlow's notices either.
    (out / "stdout").write_text(process.stdout)
    return out


def test_a_run_ends_with_what_came_out(mnist_run):
    *_, finished, accuracy, error, picture, more = (mnist_run / "stdout").read_text().splitlines()
    assert re.fullmatch(r"Finished 2 epochs after \d+ (s|min)\.", finished)
    assert re.match(r"accuracy 0\.\d+: .* \(higher is better; the paper's: 0\.9542\)$", accuracy)
    assert re.match(r"\w+ [\d.e+]+: .* \(lower is better\)$", error)
    results = mnist_run / "results/InfoVAE_MNIST"
    assert picture == f"Look at {results}/figure_class_grid.png, or open {results}/report.html in a browser."
    assert more.startswith("More: python InfoVAE_MNIST.py ")


def test_training_writes_every_file_it_promises(mnist_run, mnist):
    results, models = mnist_run / "results" / "InfoVAE_MNIST", mnist_run / "models" / "InfoVAE_MNIST"
    assert sorted(p.name for p in results.iterdir()) == sorted(
        [
            "Real1.png",
            "VAE0.jpg",
            "VAE1.jpg",
            "class_grid.png",
            "log.csv",
            "run.json",
            "tensorboard",
            "metrics-quick.json",
            "losses.png",
            "report.html",
            "figures.json",
            "figure_class_grid.png",
            "figure_reconstructions.png",
            "figure_interpolation.png",
        ]
        + [f"figure_traversal_{what}.{ending}" for what in ("c0", "categories") for ending in ("png", "gif")]
    )
    assert sorted(p.name for p in models.iterdir()) == sorted(
        [f"InfoVAE_MNIST-{step}.{ending}" for step in (2, 4) for ending in ("data-00000-of-00001", "index")]
        + ["checkpoint", "run.json", "encoder.keras", "generator.keras", "discriminator.keras"]
    )
    for name, size in (("VAE1.jpg", (224, 224)), ("Real1.png", (224, 224)), ("class_grid.png", (280, 280))):
        with Image.open(results / name) as image:
            assert image.size == size
            assert np.asarray(image)[-20:].std() > 0  # Full to the last row, though a batch has 16 images.
    assert all(list(results.glob(f"tensorboard/{part}/events*")) for part in ("train", "grids"))
    run_file = json.loads((models / "run.json").read_text())
    assert run_file["session"]["from_step"] == 0 < run_file["session"]["minutes"]
    assert run_file["config"]["seed"] == 3 and run_file["data"] == str(mnist / "mnist.npz")


def test_log_has_a_row_per_epoch_and_a_column_per_loss(mnist_run):
    rows = list(csv.DictReader((mnist_run / "results/InfoVAE_MNIST/log.csv").open()))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert set(rows[0]) == {"epoch", "d_loss", "g_loss", "q_loss", "vae_loss", "accuracy", "category_agreement"}
    assert all(np.isfinite(float(value)) for row in rows for value in row.values())
    assert 0 <= float(rows[1]["accuracy"]) <= 1


def test_saved_networks_load_alone(mnist_run):
    generator = keras.saving.load_model(mnist_run / "models/InfoVAE_MNIST/generator.keras")
    images = generator([np.zeros((4, 100), np.float32), np.eye(4, 12, dtype=np.float32)])
    assert images.shape == (4, 28, 28, 1) and 0 <= np.min(images) < np.max(images) <= 1


def test_resuming_appends_and_a_second_start_loses_nothing(mnist_run, mnist, home):
    flags = ("--data-dir", mnist, "--steps-per-epoch", 2, "--no-evaluate")
    again = train(home, mnist_run, *flags)
    assert again.returncode == 2 and "use --resume, another --out, or --overwrite to delete it" in again.stderr
    resumed = train(home, mnist_run, *flags, "--epochs", 3, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "InfoVAE_MNIST-4" in resumed.stdout
    rows = list(csv.DictReader((mnist_run / "results/InfoVAE_MNIST/log.csv").open()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert (mnist_run / "results/InfoVAE_MNIST/VAE2.jpg").is_file()
    assert (mnist_run / "models/InfoVAE_MNIST/InfoVAE_MNIST-6.index").is_file()
    other = train(home, mnist_run, *flags, "--seed", 4, "--resume")
    assert other.returncode == 2 and "seed was 3 in the saved run and is 4 now" in other.stderr


def test_overwrite_leaves_nothing_of_the_old_run(home, tmp_path):
    name = "InfoVAE_MNIST-synthetic"
    for folder in ("results", "models"):
        (tmp_path / folder / name).mkdir(parents=True)
        (tmp_path / folder / name / "notes.txt").write_text("mine")
    (tmp_path / "models" / name / "InfoVAE_MNIST-99.index").touch()
    for file in ("tensorboard/train/notes.txt", "export/notes.txt"):
        path = tmp_path / "results" / name / file
        path.parent.mkdir(parents=True)
        path.touch()
    flags = ("--data", "synthetic", "--epochs", 1, "--steps-per-epoch", 1, "--no-evaluate")
    refused = train(home, tmp_path, *flags)
    assert refused.returncode == 2 and f"models/{name} already contains a run" in refused.stderr
    process = train(home, tmp_path, *flags, "--overwrite")
    assert process.returncode == 0, process.stderr
    assert "synthetic digits" in process.stdout
    assert not list(tmp_path.rglob("notes.txt")) and not list(tmp_path.glob("*/*/*-99.*"))
    assert [p.name for p in tmp_path.glob("*/*")] == [name, name]


def test_training_starts_from_a_checkpoint_of_the_original(mnist_run, mnist, home, tmp_path):
    prefix = tmp_path / "tf1" / "InfoVAE_MNIST"
    export = run("-m", "common.tf1", "export", mnist_run / "models/InfoVAE_MNIST", prefix, home=home)
    assert export.returncode == 0, export.stderr
    flags = ("--data-dir", mnist, "--epochs", 1, "--steps-per-epoch", 1, "--no-evaluate")
    process = train(home, tmp_path, *flags, "--tf1-checkpoint", prefix)
    assert process.returncode == 0, process.stderr
    models = tmp_path / "models/InfoVAE_MNIST"
    assert json.loads((models / "run.json").read_text())["start"] == str(prefix)
    # The optimizers continue, too; TF1's power of beta1 starts at beta1.
    power = tf.train.load_checkpoint(str(models)).get_tensor("state/d.Sbeta1_power/.ATTRIBUTES/VARIABLE_VALUE")
    steps = int(max(p.stem.rsplit("-", 1)[1] for p in (mnist_run / "models/InfoVAE_MNIST").glob("*.index")))
    assert power == 0.5 ** (steps + 2)
