"""The figures: which latents they show, in which batches; and the files that `draw` leaves."""

import json
import types

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from common.data.dataset import Dataset, Factor, Split
from common.errors import UserError
from common.evaluation import draw
from common.evaluation.figures.generated import (
    PROTOCOL_VALUES,
    categorical_traversal,
    category_path,
    class_grid,
    generate_mixed,
    interpolation,
    original_traversal,
    traversal,
)
from common.nn.distributions import Posterior, sample_prior
from common.options import QUICK_FIGURES, FigureSettings

pytestmark = pytest.mark.fast

ROWS = 5
Z, K, C, BATCH = 7, 4, 3, 8  # Of `make_config`.


@pytest.fixture
def echo(make_config):
    """A stand-in for a system: its "images" are the inputs they were made from, it encodes an "image" back to them, and
    it notes its batches.
    """
    config, batches = make_config(), []

    def generate(noise, code):
        batches.append(tf.concat([noise, code], axis=1).numpy())
        return tf.constant(batches[-1][:, None, None, :])

    def encode(images):
        return Posterior(images[:, 0, 0, Z : Z + K], images[:, 0, 0, Z + K :])

    return types.SimpleNamespace(
        config=config,
        batches=batches,
        generate=generate,
        encode=encode,
        encode_noise=lambda images: None,
        sample_latents=lambda step, size: sample_prior(config.latent, size, tf.stack([0, tf.cast(step, tf.int32)])),
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


def test_a_system_draws_the_grid_as_one_batch(system):
    """With batch statistics, each image depends on the others: the grid is G of all its inputs at once."""
    images = class_grid(system, rows=2, seed=3)
    assert images.shape == (8, 28, 28, 1)
    latents = system.sample_latents(tf.constant(3, tf.int64), 2)
    noise = np.repeat(latents.noise, 4, axis=0)
    code = np.concatenate(
        [np.tile(np.eye(4, dtype=np.float32), (2, 1)), np.repeat(latents.code[:, 4:], 4, axis=0)], axis=1
    )
    wanted = system.generate(tf.constant(noise), tf.constant(code)).numpy()
    np.testing.assert_allclose(images, wanted, rtol=1e-6)
    alone = system.generate(tf.constant(noise[:4]), tf.constant(code[:4])).numpy()
    assert np.abs(alone - wanted[:4]).max() > 1e-3


def test_the_protocol_sets_the_code_throughout_the_batch_and_keeps_the_first_image(echo):
    strips = original_traversal(echo, 1, draws=(3, 5))[:, :, 0, 0]
    assert PROTOCOL_VALUES == (-1.0, -0.8, -0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8)
    np.testing.assert_allclose(strips[:, :, Z + K + 1], [PROTOCOL_VALUES] * 2, atol=1e-7)
    assert len(echo.batches) == 20
    for i, batch in enumerate(echo.batches):
        assert batch.shape == (BATCH, Z + K + C)
        assert (batch[:, Z + K + 1] == np.float32(PROTOCOL_VALUES[i % 10])).all()
        np.testing.assert_array_equal(batch[0], strips[i // 10, i % 10])
    others = np.delete(np.array(echo.batches).reshape(2, 10, BATCH, -1), Z + K + 1, axis=3)
    np.testing.assert_array_equal(others, np.broadcast_to(others[:, :1], others.shape))
    assert len(np.unique(others[:, 0].reshape(2 * BATCH, -1), axis=0)) == 2 * BATCH


def test_a_traversal_moves_one_code_and_nothing_else(echo):
    strips = traversal(echo, 2, [-2.0, 0.5, 3.0], draws=(3, 5))[:, :, 0, 0]
    np.testing.assert_array_equal(strips[:, :, Z + K + 2], [[-2.0, 0.5, 3.0]] * 2)
    others = np.delete(strips, Z + K + 2, axis=2)
    np.testing.assert_array_equal(others, np.broadcast_to(others[:, :1], others.shape))
    np.testing.assert_array_equal(
        others[:, 0], np.delete(original_traversal(echo, 2, draws=(3, 5))[:, 0, 0, 0], Z + K + 2, axis=1)
    )  # The same draws.


def test_batch_statistics_take_the_protocols_change_away_at_28_pixels(system):
    """What a whole batch has in common cancels in the batch norm behind G's first layer, which normalises each feature
    apart.
    """
    common = original_traversal(system, 0, draws=(0,))
    assert np.abs(common - common[:, :1]).max() < 1e-4
    alone = traversal(system, 0, PROTOCOL_VALUES, draws=(0,))
    assert np.abs(alone - alone[:, :1]).max() > 1e-2


def test_the_path_visits_every_category_and_mixes_neighbours():
    np.testing.assert_array_equal(category_path(3, 1), [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]])
    np.testing.assert_array_equal(category_path(4, 0), np.eye(4))


def test_a_categorical_traversal_holds_noise_and_continuous_codes(echo):
    strips = categorical_traversal(echo, 1, draws=(0, 1))[:, :, 0, 0]
    np.testing.assert_array_equal(strips[:, :, Z : Z + K], [category_path(K, 1)] * 2)
    held = np.delete(strips, np.s_[Z : Z + K], axis=2)
    np.testing.assert_array_equal(held, np.broadcast_to(held[:, :1], held.shape))
    assert (held[0] != held[1]).all()


def test_an_interpolation_goes_straight_from_code_to_code(echo):
    images = tf.constant(np.random.RandomState(0).normal(size=(BATCH, 1, 1, Z + K + C)).astype(np.float32))
    strips = interpolation(echo, images, pairs=2, points=3)[:, :, 0, 0]
    codes = np.concatenate([tf.nn.softmax(images[:, 0, 0, Z : Z + K]), images[:, 0, 0, Z + K :]], axis=1)
    np.testing.assert_allclose(strips[:, 0, Z:], codes[[0, 2]], rtol=1e-6)
    np.testing.assert_allclose(strips[:, 2, Z:], codes[[1, 3]], rtol=1e-6)
    np.testing.assert_allclose(strips[:, 1, Z:], (codes[[0, 2]] + codes[[1, 3]]) / 2, rtol=1e-5)
    np.testing.assert_array_equal(strips[:, :, :Z], np.broadcast_to(strips[:, :1, :Z], (2, 3, Z)))
    assert (strips[0, 0, :Z] != strips[1, 0, :Z]).all()


def test_an_interpolation_takes_inferred_noise_along(echo):
    images = tf.constant(np.random.RandomState(0).normal(size=(BATCH, 1, 1, Z + K + C)).astype(np.float32))
    echo.encode_noise = lambda x: types.SimpleNamespace(mean=x[:, 0, 0, :Z])
    strips = interpolation(echo, images, pairs=1, points=3)[0, :, 0, 0, :Z]
    ends = images[:2, 0, 0, :Z].numpy()
    np.testing.assert_allclose(strips, [ends[0], ends.mean(axis=0), ends[1]], rtol=1e-5)


def test_seven_eighths_of_a_mixed_batch_are_random_and_always_the_same(make_config, echo):
    echo.config = make_config(batch_size=16)
    random = np.random.RandomState(0)
    noise, code = random.normal(size=(5, Z)).astype(np.float32), random.normal(size=(5, K + C)).astype(np.float32)
    made = generate_mixed(echo, noise, code)[:, 0, 0]
    np.testing.assert_array_equal(made, np.concatenate([noise, code], axis=1))
    assert [len(batch) for batch in echo.batches] == [16, 16, 16]
    np.testing.assert_array_equal(echo.batches[0][2:], echo.batches[1][2:])
    np.testing.assert_array_equal(echo.batches[0][2:], echo.batches[2][1:15])
    assert np.abs(echo.batches[0][2:]).max() <= 1


@pytest.fixture
def dataset():
    """Noise, with two factors and a test split."""
    random = np.random.RandomState(0)
    splits = [
        Split(random.randint(0, 256, (20, 28, 28, 1)).astype(np.uint8), random.randint(0, 3, (20, 2))) for _ in range(2)
    ]
    return Dataset("noise", *splits, (Factor("left", (0, 1, 2)), Factor("right", (0, 1, 2))))


SETTINGS = FigureSettings(rows=2, draws=(0, 7), steps=3, columns=4, pairs=1, images=10, codes=(1,), protocol=True)


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
        "figure_protocol_c1.png",
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
    assert (
        facts["checkpoint"] == "some/checkpoint-5"
        and facts["step"] == 0
        and facts["data"] == "noise"
        and facts["config"]["seed"] == 0
    )
    assert facts["figures"].keys() == names - {"figures.json"}
    assert facts["figures"]["figure_traversal_c1.png"]["values"] == [-1.0, 0.0, 1.0]


def test_reconstructions_are_of_mixed_images_each_above_its_own(system, dataset, monkeypatch, tmp_path):
    """With reconstructions that are the images themselves, every row repeats the real one; the images are drawn by the
    seed, not the first ones.
    """
    monkeypatch.setattr(system, "reconstruct", lambda images, seed: images)
    real = draw.mixed_images(dataset, 8, seed=3)
    assert not np.array_equal(real, dataset.test.take(0, 8))
    np.testing.assert_array_equal(real, draw.mixed_images(dataset, 8, seed=3))
    figure = draw._reconstructions(real, dataset, SETTINGS, [draw.Trained(system, "a"), draw.Trained(system, "b")])
    pixels = np.asarray(figure.picture)
    cell = real[0, :, :, 0].repeat(2, axis=0).repeat(2, axis=1)
    left = pixels.shape[1] - 10 - 4 * 58 + 2
    tops = [
        top for top in range(pixels.shape[0] - 56) if np.array_equal(pixels[top : top + 56, left : left + 56], cell)
    ]
    assert len(tops) == 3


def test_real_images_come_class_by_class():
    """Images that hold their own class, twelve of class 0, then three of each other."""
    classes = np.array([0] * 12 + [1] * 3 + [2] * 3)
    split = Split(np.tile(classes[:, None, None, None], (1, 2, 2, 1)).astype(np.uint8), classes[:, None])
    drawn = draw.mixed_images(Dataset("classes", split, split, (Factor("class", (0, 1, 2)),), "class"), 18, seed=0)
    assert drawn[:, 0, 0, 0].tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2] + [0] * 9


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"range": (1.0, 1.0)}, "--range must be finite, and rising; got 1 1"),
        ({"range": (0.0, float("inf"))}, "--range"),
        ({"steps": 1}, "--steps"),
        ({"draws": (64,)}, "--draws must be numbers from 0 to 63"),
        ({"draws": ()}, "--draws"),
        ({"rows": 0}, "--rows"),
        ({"seed": -1}, "--figure-seed"),
    ],
)
def test_settings_out_of_range_are_refused(changes, words):
    with pytest.raises(UserError, match=words.replace("[", r"\[")):
        FigureSettings(**changes)


def test_values_are_equally_spaced_with_both_ends():
    assert FigureSettings(range=(-2.0, 2.0), steps=5).values == [-2.0, -1.0, 0.0, 1.0, 2.0]
    assert QUICK_FIGURES.values == [-1.0, 0.0, 1.0]


def test_a_code_that_the_run_does_not_have_is_refused(system, dataset, tmp_path):
    with pytest.raises(UserError, match="--codes"):
        draw.draw_figures(system, dataset, tmp_path, "c", FigureSettings(codes=(3,)))
    assert not list(tmp_path.iterdir())
