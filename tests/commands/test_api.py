"""The library: the page on it runs as it stands, its names are lazy, and its arguments are checked."""

import logging
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import common
import InfoVAE_MNIST
from common import UserError, api, log_to_stdout
from common.config import LatentSpec
from common.errors import Interrupted
from helpers import tiny
from helpers.paths import ROOT
from helpers.systems import make_config

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
IMAGES = np.random.RandomState(0).randint(0, 256, (60, 28, 28, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """What the names of the page are after its blocks, run in order in a folder with digits.npy and the results."""
    folder, names = tmp_path_factory.mktemp("page"), {"__name__": "page"}
    np.save(folder / "digits.npy", np.repeat(IMAGES, 3, axis=0))
    (folder / "results").symlink_to(ROOT / "results")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(api.registry, "_SPECS", dict(api.registry._SPECS))
        patch.setattr("builtins.print", lambda *_, **__: None)
        for number, block in enumerate(BLOCKS):
            exec(compile(block, f"block {number} of docs/api.md", "exec"), names)
    return folder, names


def test_the_page_runs(page):
    folder, names = page
    assert len(BLOCKS) == 10
    shapes = {
        "images": (64, 28, 28, 1),
        "ones": (8, 28, 28, 1),
        "slanted": (3, 28, 28, 1),
        "copies": (64, 28, 28, 1),
        "rows": (5, 11, 28, 28, 1),
        "strip": (5, 28, 28, 1),
        "made": (16, 28, 28, 1),
    }
    assert {name: tuple(names[name].shape) for name in shapes} == shapes
    assert names["digits"].dtype == np.uint8 and names["trained"].config.name == "digits"
    assert names["means"].keys() >= {"d_loss", "g_loss", "vae_loss"} and int(names["system"].step) == 3
    assert names["linear"].encode(IMAGES[0]).continuous.shape == (8,)
    assert [row["seed"] for row in names["table"]] == list(range(1, 9)) and names["table"][1]["accuracy"] > 0.98
    assert (folder / "traversal.png").is_file() and (folder / "exported/encoder").is_dir()


def test_steps_by_hand_are_those_of_fit(tmp_path):
    """Steps on the batches that `train` takes leave the weights that it leaves."""
    config, images = tiny.config(epochs=2), np.random.RandomState(1).randint(0, 256, (20, 2, 2, 1)).astype(np.uint8)
    system = api.build(config)
    for batch in api.batches(config, images, 0, 10):
        api.train_step(system, batch)
    trained = api.train(config, images, str(tmp_path)).system
    for name in ("encoder", "generator"):
        ours, theirs = (one.networks[name].trainable_variables for one in (system, trained))
        for found, wanted in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_a_run_without_its_networks_needs_images_to_encode(page, tmp_path):
    folder, names = page
    models = folder / "runs/models/digits"
    whole = common.load_run(models)
    for file in models.glob("*.keras"):
        file.rename(tmp_path / file.name)
    try:
        model = common.load_run(models)
        with pytest.raises(UserError, match=r"needs images that it was trained on \(an array of 180 images"):
            model.encode(IMAGES)
        encoded = common.load_run(models, names["digits"]).encode(IMAGES).continuous
    finally:
        for file in tmp_path.glob("*.keras"):
            file.rename(models / file.name)
    np.testing.assert_allclose(encoded, whole.encode(IMAGES).continuous, atol=1e-4)
    np.testing.assert_allclose(model.generate(3), whole.generate(3), atol=1e-5)


@pytest.mark.fast
def test_names_are_imported_when_they_are_used():
    code = "import sys, common; assert 'numpy' not in sys.modules; common.Config; assert 'keras' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
    assert set(common.__all__) <= set(dir(common))
    for name in common.__all__:
        assert getattr(common, name).__module__.startswith("common.")
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        common.nonsense  # noqa: B018


def test_a_configuration_changes_by_the_names_of_the_flags():
    light = InfoVAE_MNIST.PRESETS["light"]
    changed = api.configure(light, epochs=2, categories=20, learning_rate=1e-3)
    assert (changed.epochs, changed.latent.categories, changed.hyper.learning_rate) == (2, 20, 1e-3)
    assert changed.latent.noise == light.latent.noise and changed.hyper.width == light.hyper.width
    assert api.configure(light, model="betavae", continuous=6).latent == LatentSpec(0, 0, 6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nonsense": 1}, "there is no setting nonsense"),
        ({"epochs": 0}, "--epochs must be at least 1, got 0"),
        ({"critic_steps": 2}, "--critic-steps is not a flag of InfoVAEGAN"),
        ({"model": "unheard-of"}, "there is no --model unheard-of"),
    ],
)
def test_settings_that_do_not_exist_are_refused(changes, words):
    with pytest.raises(UserError, match=words):
        api.configure(InfoVAE_MNIST.CONFIG, **changes)


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        ("digits", None, "images must be a numpy array, uint8 .* got str"),
        (IMAGES / 255, None, r"got float64 \[60, 28, 28, 1\]; for floats from 0 to 1: \(255 \* images\)"),
        (IMAGES[0, 0], None, r"got uint8 \[28, 1\]"),
        (IMAGES, np.zeros(59, int), r"labels must be whole numbers from 0, \[60\], got int64 \[59\]"),
        (IMAGES, np.full(60, -1), "labels must be whole numbers from 0"),
    ],
)
def test_arrays_that_are_no_data_set_are_refused(images, labels, words):
    with pytest.raises(UserError, match=words):
        api.dataset(images, labels)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"labels": np.zeros(60, int), "test_images": IMAGES}, "labels and test_labels belong together: give both"),
        ({"test_images": IMAGES, "test_labels": np.zeros(60, int)}, "labels and test_labels belong together"),
        ({"test_labels": np.zeros(60, int)}, "test_labels belong to test_images: give both or neither"),
        ({"test_images": IMAGES[:, :20]}, r"test images are \[20, 28, 1\], training images \[28, 28, 1\]: they must"),
    ],
)
def test_splits_that_do_not_fit_each_other_are_refused(arrays, words):
    with pytest.raises(UserError, match=words):
        api.dataset(IMAGES, **arrays)


@pytest.mark.parametrize(("test_label", "levels"), [(0, 3), (4, 5)])
def test_labels_are_the_classes_of_a_data_set(test_label, levels):
    data = api.dataset(IMAGES[..., 0], np.arange(60) % 3, IMAGES[:5], np.full(5, test_label))
    assert data.factors[0].levels == levels and data.train.take(0, 2).shape == (2, 28, 28, 1)
    np.testing.assert_array_equal(data.labels(data.train), np.arange(60) % 3)
    assert data.source != api.dataset(255 - IMAGES[..., 0]).source  # So --resume refuses other images.


def test_a_step_refuses_other_batches(build_for_all):
    system = build_for_all()
    for images, words in (
        (IMAGES[:7], r"a batch must be \[8, 28, 28, 1\], got \[7, 28, 28, 1\]"),
        (IMAGES[:8] * 1.0, "floats must be from 0 to 1, got 0 to 255"),
        ("digits.npy", "images must be an array .* got str"),
        (tf.zeros([8, 32, 32, 1]), r"got \[8, 32, 32, 1\]"),
    ):
        with pytest.raises(UserError, match=words):
            api.train_step(system, images)
    with pytest.raises(UserError, match="this system has no optimizers"):
        api.train_step(api.registry.build(make_config(width=0.125), training=False), IMAGES[:8])


def test_an_interrupted_run_says_how_to_continue(monkeypatch, tmp_path):
    def stopped(*_, **__):
        raise Interrupted(2, "stopped after step 3; resume with: python kernel.py --resume")

    monkeypatch.setattr(api.commands, "train", stopped)
    with pytest.raises(Interrupted, match=r"stopped after step 3; continue with train\(..., resume=True\)"):
        api.train(make_config(), IMAGES, tmp_path)


def test_images_of_another_shape_are_not_trained_on(tmp_path):
    with pytest.raises(UserError, match=r"images are \[28, 28, 1\], and tiny is made for \[2, 2, 1\]"):
        api.train(tiny.config(), IMAGES, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_picture_has_a_label_per_row_and_column():
    images = np.zeros((2, 3, 28, 28, 1), np.float32)
    assert api.picture(images, rows=["a", "b"], columns=range(3)).mode == "L"
    for labels in ({"rows": ["a"]}, {"columns": ["a"]}):
        with pytest.raises(UserError, match="labels for 2 rows and 3 columns"):
            api.picture(images, **labels)
    with pytest.raises(UserError, match="images must be floats"):
        api.picture(IMAGES)


def test_the_log_is_printed_once_asked_for(capsys):
    logging.getLogger("common.some").info("unheard")
    log_to_stdout()
    log_to_stdout()
    logging.getLogger("common.some").info("heard")
    assert capsys.readouterr().out == "heard\n"
