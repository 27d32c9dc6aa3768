"""The figures: which latents they show, in which batches; and the files that `draw_figures` leaves."""

import dataclasses
import json
import types

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from common.data.dataset import Dataset, Factor, Split
from common.errors import UserError
from common.evaluation import draw
from common.evaluation.clustering import category_counts
from common.evaluation.encode import encode, mixed_images
from common.evaluation.figures.captions import caption, data_title, run_title
from common.evaluation.figures.generated import (
    ORIGINAL_VALUES,
    categorical_traversal,
    category_path,
    class_grid,
    generate_all,
    interpolation,
    original_traversal,
    traversal,
    traversal_by_category,
)
from common.evaluation_options import QUICK_FIGURES, FigureSettings
from common.models.registry import title_of
from common.nn.distributions import Latents, Posterior, sample_prior
from helpers.systems import EVERY

ROWS = 5
Z, K, C, BATCH = 7, 4, 3, 8  # Of `make_config`.


@pytest.fixture
def echo(make_config):
    """Stands for a system: its "images" are the latents they were made from, and it notes its batches."""
    config, batches = make_config(), []

    def generate(latents):
        batches.append(tf.concat(latents, axis=1).numpy())
        return tf.constant(batches[-1][:, None, None, :])

    return types.SimpleNamespace(
        config=config,
        batches=batches,
        generate=generate,
        can=lambda capability: capability != "infer_noise",
        encode=lambda images: Posterior(images[:, 0, 0, Z : Z + K], images[:, 0, 0, Z + K :]),
        sample_prior=lambda count, seed: sample_prior(config.latent, count, seed),
    )


def grid(echo, seed=0):
    return class_grid(echo, ROWS, seed).reshape(ROWS, K, -1)


def test_column_k_has_category_k(echo):
    np.testing.assert_array_equal(grid(echo)[:, :, Z : Z + K], np.broadcast_to(np.eye(K), (ROWS, K, K)))


def test_a_row_shares_noise_and_continuous_codes(echo):
    shared = np.delete(grid(echo), np.s_[Z : Z + K], axis=2)
    assert shared.shape == (ROWS, K, Z + C)
    np.testing.assert_array_equal(shared, np.broadcast_to(shared[:, :1], shared.shape))
    assert np.abs(shared).max() <= 1


def test_rows_differ_and_so_do_seeds(echo):
    first, other = grid(echo, 0)[:, 0], grid(echo, 1)[:, 0]
    assert len(np.unique(first, axis=0)) == ROWS
    assert not set(first[:, 0]) & set(other[:, 0])
    np.testing.assert_array_equal(grid(echo, 0)[:, 0], first)


def test_the_grid_is_one_batch(echo):
    """With batch statistics, each image depends on the others."""
    grid(echo)
    assert [len(batch) for batch in echo.batches] == [ROWS * K]


def test_the_original_sets_a_code_throughout_the_batch(echo):
    strips = original_traversal(echo, 1, draws=2)[:, :, 0, 0]
    assert ORIGINAL_VALUES == (-1.0, -0.8, -0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8)
    np.testing.assert_allclose(strips[:, :, Z + K + 1], [ORIGINAL_VALUES] * 2, atol=1e-7)
    assert len(echo.batches) == 20
    for i, batch in enumerate(echo.batches):
        assert batch.shape == (BATCH, Z + K + C)
        assert (batch[:, Z + K + 1] == np.float32(ORIGINAL_VALUES[i % 10])).all()
        np.testing.assert_array_equal(batch[0], strips[i // 10, i % 10])
    others = np.delete(np.array(echo.batches).reshape(2, 10, BATCH, -1), Z + K + 1, axis=3)
    np.testing.assert_array_equal(others, np.broadcast_to(others[:, :1], others.shape))
    assert len(np.unique(others[:, 0].reshape(2 * BATCH, -1), axis=0)) == 2 * BATCH


def test_a_traversal_moves_one_code_and_nothing_else(echo):
    strips = traversal(echo, 2, [-2.0, 0.5, 3.0], draws=2)[:, :, 0, 0]
    np.testing.assert_array_equal(strips[:, :, Z + K + 2], [[-2.0, 0.5, 3.0]] * 2)
    others = np.delete(strips, Z + K + 2, axis=2)
    np.testing.assert_array_equal(others, np.broadcast_to(others[:, :1], others.shape))
    np.testing.assert_array_equal(
        others[:, 0], np.delete(original_traversal(echo, 2, draws=2)[:, 0, 0, 0], Z + K + 2, axis=1)
    )  # The same draws.


def test_by_category_rows_differ_in_the_category_alone(echo):
    strips = traversal_by_category(echo, 2, [-1.0, 0.5])[:, :, 0, 0]
    assert strips.shape == (K, 2, Z + K + C)
    np.testing.assert_array_equal(strips[:, :, Z : Z + K], np.eye(K)[:, None].repeat(2, axis=1))
    np.testing.assert_array_equal(strips[:, :, Z + K + 2], [[-1.0, 0.5]] * K)
    others = np.delete(strips, [*range(Z, Z + K), Z + K + 2], axis=2)
    np.testing.assert_array_equal(others, np.broadcast_to(others[:1, :1], others.shape))


def test_batch_statistics_remove_the_originals_change(system):
    """What a whole batch has in common cancels in the batch norm behind G's first layer."""
    common = original_traversal(system, 0, draws=1)
    assert np.abs(common - common[:, :1]).max() < 1e-4
    alone = traversal(system, 0, ORIGINAL_VALUES, draws=1)
    assert np.abs(alone - alone[:, :1]).max() > 1e-2


def test_the_path_visits_every_category_and_mixes_neighbours():
    np.testing.assert_array_equal(category_path(3, 1), [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]])
    np.testing.assert_array_equal(category_path(4, 0), np.eye(4))


def test_a_categorical_traversal_fixes_all_other_latents(echo):
    strips = categorical_traversal(echo, 1, draws=2)[:, :, 0, 0]
    np.testing.assert_array_equal(strips[:, :, Z : Z + K], [category_path(K, 1)] * 2)
    held = np.delete(strips, np.s_[Z : Z + K], axis=2)
    np.testing.assert_array_equal(held, np.broadcast_to(held[:, :1], held.shape))
    assert (held[0] != held[1]).all()


def test_an_interpolation_goes_straight_from_code_to_code(echo):
    images = tf.constant(np.random.RandomState(0).normal(size=(4, 1, 1, Z + K + C)).astype(np.float32))
    strips = interpolation(echo, images, pairs=2, points=3)[:, :, 0, 0]
    codes = np.concatenate([tf.nn.softmax(images[:, 0, 0, Z : Z + K]), images[:, 0, 0, Z + K :]], axis=1)
    np.testing.assert_allclose(strips[:, 0, Z:], codes[[0, 2]], rtol=1e-6)
    np.testing.assert_allclose(strips[:, 2, Z:], codes[[1, 3]], rtol=1e-6)
    np.testing.assert_allclose(strips[:, 1, Z:], (codes[[0, 2]] + codes[[1, 3]]) / 2, rtol=1e-5)
    np.testing.assert_array_equal(strips[:, :, :Z], np.broadcast_to(strips[:, :1, :Z], (2, 3, Z)))
    assert (strips[0, 0, :Z] != strips[1, 0, :Z]).all()


def test_an_interpolation_takes_inferred_noise_along(echo):
    images = tf.constant(np.random.RandomState(0).normal(size=(2, 1, 1, Z + K + C)).astype(np.float32))
    echo.can, echo.encode_noise = lambda capability: True, lambda x: types.SimpleNamespace(mean=x[:, 0, 0, :Z])
    strips = interpolation(echo, images, pairs=1, points=3)[0, :, 0, 0, :Z]
    ends = images[:2, 0, 0, :Z].numpy()
    np.testing.assert_allclose(strips, [ends[0], ends.mean(axis=0), ends[1]], rtol=1e-5)


def some_latents(count):
    random = np.random.RandomState(0)
    return Latents(*(random.normal(size=(count, length)).astype(np.float32) for length in (Z, K, C)))


def test_latents_are_generated_in_batches_of_training_size(echo):
    latents = some_latents(11)
    np.testing.assert_array_equal(generate_all(echo, latents)[:, 0, 0], np.concatenate(latents, axis=1))
    assert [len(batch) for batch in echo.batches] == [8, 3]


@pytest.fixture
def dataset():
    """Noise, with two factors and a test split."""
    random = np.random.RandomState(0)
    splits = [
        Split(random.randint(0, 256, (20, 28, 28, 1)).astype(np.uint8), random.randint(0, 3, (20, 2))) for _ in range(2)
    ]
    return Dataset("noise", *splits, (Factor("left", (0, 1, 2)), Factor("right", (0, 1, 2))))


SETTINGS = dataclasses.replace(QUICK_FIGURES, draws=2, codes=(1,), original_traversals=True)


def test_draw_leaves_every_figure_and_the_same_bytes_twice(system, dataset, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        paths = draw.draw_figures(system, dataset, folder, "some/checkpoint-5", SETTINGS)
        assert sorted(paths) == sorted(folder.iterdir())
    names = {path.name for path in first.iterdir()}
    assert names == {
        "figures.json",
        "figure_class_grid.png",
        "figure_original_c1.png",
        "figure_traversal_c1.png",
        "figure_traversal_c1.gif",
        "figure_traversal_categories.png",
        "figure_traversal_categories.gif",
        "figure_reconstructions.png",
        "figure_interpolation.png",
        "figure_mutual_information.png",
    }
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes()
    with Image.open(first / "figure_traversal_c1.gif") as animation:
        assert animation.n_frames == 4  # Three values, there and back.
    facts = json.loads((first / "figures.json").read_text())
    assert facts["figures"]["figure_traversal_c1.png"]["batch_norm"] == "standing"
    assert (
        facts["checkpoint"] == "some/checkpoint-5"
        and facts["step"] == 0
        and facts["data"] == "noise"
        and facts["config"]["seed"] == 0
    )
    assert "batch norm removes" in facts["figures"]["figure_original_c1.png"]["note"]
    assert "note" not in facts["figures"]["figure_traversal_c1.png"]
    assert facts["figures"].keys() == names - {"figures.json"}
    assert facts["figures"]["figure_traversal_c1.png"]["values"] == [-1.0, 0.0, 1.0]


def test_reconstructions_stand_below_their_images(system, dataset, monkeypatch):
    """With reconstructions that are the images themselves, every row repeats the real one."""
    monkeypatch.setattr(system, "reconstruct", lambda images, seed: images)
    real = mixed_images(dataset, 8, seed=0)
    assert not np.array_equal(real, dataset.test.take(0, 8))
    pair = [draw.Trained(system, "a"), draw.Trained(system, "b")]
    (figure,) = draw.Figures(dataset, SETTINGS, pair).reconstructions()
    pixels = np.asarray(figure.picture)
    cell = real[0, :, :, 0].repeat(2, axis=0).repeat(2, axis=1)
    left = pixels.shape[1] - 10 - 4 * 58 + 2
    strips = [pixels[top : top + 56, left : left + 56] for top in range(pixels.shape[0] - 56)]
    assert sum(np.array_equal(strip, cell) for strip in strips) == 3


def test_real_images_come_class_by_class():
    """Images that hold their own class, twelve of class 0, then three of each other."""
    classes = np.array([0] * 12 + [1] * 3 + [2] * 3)
    split = Split(np.tile(classes[:, None, None, None], (1, 2, 2, 1)).astype(np.uint8), classes[:, None])
    drawn = mixed_images(Dataset("classes", split, split, (Factor("class", (0, 1, 2)),), "class"), 18, seed=0)
    assert drawn[:, 0, 0, 0].tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2] + [0] * 9


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"range": (1.0, 1.0)}, "--range must rise, got 1 1"),
        ({"range": (0.0, float("inf"))}, "--range"),
        ({"traversal_steps": 1}, "--traversal-steps"),
        ({"draws": 0}, "--draws must be at least 1"),
        ({"grid_rows": 0}, "--grid-rows"),
        ({"seed": -1}, "--figure-seed"),
        ({"format": "svg"}, "--format must be one of png, pdf"),
        ({"dpi": 10}, "--dpi must be at least 50"),
    ],
)
def test_settings_out_of_range_are_refused(changes, words):
    with pytest.raises(UserError, match=words):
        FigureSettings(**changes)


def test_values_are_equally_spaced_with_both_ends():
    assert FigureSettings(range=(-2.0, 2.0), traversal_steps=5).values == [-2.0, -1.0, 0.0, 1.0, 2.0]
    assert QUICK_FIGURES.values == [-1.0, 0.0, 1.0]


@pytest.fixture
def labelled(dataset):
    """The data set, with classes that have names; its images are of one class, but for the first."""
    classes = np.array([[0]] + [[1]] * 19)
    splits = [dataclasses.replace(split, factors=classes) for split in (dataset.train, dataset.test)]
    return Dataset("noise", *splits, (Factor("kind", ("cat", "a name of more than 16 letters")),), "kind")


def test_categories_are_named_after_their_classes(system, labelled):
    figures = draw.Figures(labelled, FigureSettings(), [draw.Trained(system, "c")])
    counts = category_counts(encode(system, labelled.train.images), labelled, labelled.train)
    names = [["cat", "a name of mor..."][row.argmax()] if row.any() else "-" for row in counts]
    assert figures.category_labels() == [f"{k}\n{name}" for k, name in enumerate(names)]


def test_categories_without_classes_are_numbers(system, dataset):
    assert draw.Figures(dataset, SETTINGS, [draw.Trained(system, "c")]).category_labels() == ["0", "1", "2", "3"]


def test_pdf_figures_by_category(system, labelled, tmp_path):
    settings = dataclasses.replace(QUICK_FIGURES, by_category=True, format="pdf")
    draw.draw_figures(system, labelled, tmp_path, "c", settings)
    assert (tmp_path / "figure_traversal_c0.pdf").read_bytes().startswith(b"%PDF")
    assert not list(tmp_path.glob("*.png"))
    facts = json.loads((tmp_path / "figures.json").read_text())["figures"]
    assert facts["figure_traversal_c0.pdf"]["rows"] == K


def test_by_category_needs_categories(build_for_all, dataset, tmp_path):
    vae = build_for_all(**EVERY["test_vae"])
    with pytest.raises(UserError, match="--by-category needs categories"):
        draw.draw_figures(vae, dataset, tmp_path, "c", FigureSettings(by_category=True))


def test_a_caption_names_data_system_seed_and_step(system):
    assert caption(system) == "MNIST, InfoVAEGAN, seed 0, step 0"
    assert data_title("chairs", "x-synthetic") == "synthetic 3D Chairs"


def test_the_ablation_is_called_as_the_paper_does(make_config):
    config = make_config(mutual_information=False)
    assert title_of(config) == "InfoVAEGAN-MI"
    assert run_title(types.SimpleNamespace(config=config, step=tf.constant(7))) == "InfoVAEGAN-MI, seed 0, step 7"


def test_a_code_that_the_run_does_not_have_is_refused(system, dataset, tmp_path):
    with pytest.raises(UserError, match="--codes"):
        draw.draw_figures(system, dataset, tmp_path, "c", FigureSettings(codes=(3,)))
    assert not list(tmp_path.iterdir())


def test_of_one_test_image_the_other_figures_are_drawn(system, dataset, tmp_path):
    few = dataclasses.replace(dataset, test=Split(dataset.train.take(0, 1), dataset.train.factors[:1]))
    draw.draw_figures(system, few, tmp_path, "c", QUICK_FIGURES)
    drawn = json.loads((tmp_path / "figures.json").read_text())
    assert "figure_reconstructions.png" in drawn["figures"]
    assert drawn["skipped"] == {
        "experts": drawn["skipped"]["experts"],
        "interpolation": "takes two test images",
        "mutual information": "no factor has two levels among the test images",
    }
