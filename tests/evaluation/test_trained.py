"""A trained model in use: which images and codes it takes, and that one image gives what it gives among others."""

import numpy as np
import pytest

from common.errors import UserError
from common.evaluation.opening import open_trained
from common.evaluation.trained import VALUES, TrainedModel, to_network
from common.models import registry
from helpers.paths import ROOT
from helpers.systems import make_config

IMAGES = np.random.RandomState(0).randint(0, 256, (5, 28, 28, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def light():
    """The shipped digits."""
    return open_trained(str(ROOT / "results" / "mnist" / "light"))


@pytest.fixture(scope="module")
def model():
    """A narrow system of 7 values of noise, 4 categories and 3 continuous codes; batches of 8."""
    return TrainedModel(registry.build(make_config(width=0.125, batch_norm="standing"), training=False), "nowhere")


@pytest.mark.parametrize("name", ["mnist", "3dchairs", "celeba"])
def test_eleven_images_of_one_category_all_show_it(name):
    """With batch statistics, a batch of one category loses it."""
    shipped = open_trained(str(ROOT / "results" / name / "light"))
    for category in (1, 7):
        made = shipped.traverse(0, category=category, count=1)[0]
        assert made.shape == (11, *shipped.config.image_shape)
        assert np.mean(shipped.encode(made).category == category) > 0.9


def test_codes_of_the_sprites_are_read_back():
    """They have no category."""
    shipped = open_trained(str(ROOT / "results" / "dsprites" / "light"))
    for code in range(5):
        made = shipped.traverse(code, count=6)
        read = shipped.encode(made.reshape(-1, 64, 64, 1))
        assert read.category is None
        given = np.tile(np.linspace(-1, 1, made.shape[1]), 6)
        assert np.corrcoef(read.continuous[:, code], given)[0, 1] > 0.8


def test_a_traversal_from_images_takes_their_noise_if_it_can():
    config = make_config(width=0.125, variant="paper", batch_norm="standing")
    model = TrainedModel(registry.build(config, training=False), "nowhere")
    codes, noise = model.encode(IMAGES), model.system.encode_noise(to_network(IMAGES, config)[0]).mean.numpy()
    own = model.traverse(0, [codes.continuous[3, 0]], images=IMAGES)[3, 0]
    latents = model.draw(category=codes.probabilities, continuous=codes.continuous, noise=noise)
    np.testing.assert_allclose(own, model.generate(latents)[3], atol=1e-5)


def test_one_image_gives_what_it_gives_among_others(light):
    latents = light.draw(5)
    images = light.generate(latents)
    alone = light.generate(noise=latents.noise[:1], category=latents.category[:1], continuous=latents.continuous[:1])
    np.testing.assert_allclose(alone, images[:1], atol=1e-5)
    for one, among in zip(light.encode(images[0]), light.encode(images), strict=True):
        np.testing.assert_allclose(one, among[0], atol=1e-4)


def test_one_image_has_no_first_axis(model):
    codes = model.encode(IMAGES[0])
    assert codes.category.shape == () and codes.probabilities.shape == (4,) and codes.continuous.shape == (3,)
    assert model.reconstruct(IMAGES[0]).shape == (28, 28, 1)
    assert model.traverse(1, images=IMAGES[0]).shape == (11, 28, 28, 1)
    assert model.traverse("category", images=IMAGES).shape == (5, 4, 28, 28, 1)


def test_probabilities_are_of_the_categories(model):
    codes = model.encode(IMAGES)
    np.testing.assert_allclose(codes.probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(codes.category, codes.probabilities.argmax(axis=1))


def test_the_same_image_may_come_in_several_forms(model):
    wanted = model.encode(IMAGES).continuous
    for images in (IMAGES / 255, IMAGES.astype(np.float32) / 255, IMAGES[..., 0], IMAGES[..., 0] / 255):
        np.testing.assert_allclose(model.encode(images).continuous, wanted, atol=1e-6)
    np.testing.assert_allclose(model.encode(IMAGES[2, :, :, 0]).continuous, wanted[2], atol=1e-6)


def test_given_codes_are_used_and_others_drawn(model):
    drawn, latents = model.draw(3, seed=4), model.draw(3, category=2, continuous=[0.5, -1, 0], seed=4)
    np.testing.assert_array_equal(latents.category, [[0, 0, 1, 0]] * 3)
    np.testing.assert_array_equal(latents.continuous, np.float32([[0.5, -1, 0]] * 3))
    np.testing.assert_array_equal(latents.noise, drawn.noise)
    assert not np.array_equal(model.draw(3, seed=5).noise, drawn.noise)
    np.testing.assert_array_equal(model.draw(category=[3, 0]).category, [[0, 0, 0, 1], [1, 0, 0, 0]])


def test_a_traversal_moves_one_code_of_the_start(model):
    start = model.draw(2, seed=1)
    made = model.traverse(1, [-2.0, 2.0], count=2, seed=1)
    moved = start.continuous.copy()
    moved[:, 1] = 2.0
    np.testing.assert_allclose(made[:, 1], model.generate(start._replace(continuous=moved)), atol=1e-6)
    assert len(VALUES) == 11 and VALUES[0] == -1 and VALUES[-1] == 1


def test_a_traversal_from_images_starts_at_their_codes(model):
    codes = model.encode(IMAGES)
    latents = model.draw(category=codes.probabilities, continuous=codes.continuous)
    own = model.traverse(0, [codes.continuous[3, 0]], images=IMAGES)[3, 0]
    np.testing.assert_allclose(own, model.generate(latents)[3], atol=1e-5)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ("digit.png", "must be an array of uint8 or of floats from 0 to 1, got str"),
        (IMAGES.astype(int), "got int64"),
        (IMAGES.astype(np.float32), "floats must be from 0 to 1, got 0 to 255"),
        (IMAGES / 127.5 - 1, "floats must be from 0 to 1, got -1 to 1"),
        (np.full((28, 28), np.nan), "floats must be from 0 to 1"),
        (IMAGES[:, :27], r"images must be \[28, 28, 1\], or \[n, 28, 28, 1\], got \[5, 27, 28, 1\]"),
        (IMAGES[:0], r"got \[0, 28, 28, 1\]"),
    ],
)
def test_other_images_are_refused(model, images, words):
    for use in (model.encode, model.reconstruct, lambda x: model.traverse(0, images=x)):
        with pytest.raises(UserError, match=words):
            use(images)


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda m: m.draw(0), "count must be at least 1, got 0"),
        (lambda m: m.draw(2, category=4), "category must be from 0 to 3, got 4"),
        (lambda m: m.draw(2, continuous=[0, 0]), r"continuous must be finite numbers \[3\] or \[2, 3\], got \[2\]"),
        (lambda m: m.draw(2, noise="x"), "noise must be finite numbers"),
        (lambda m: m.draw(3, category=[0, 1]), "category must be finite numbers"),
        (lambda m: m.traverse(3), "there is no code 3: it must be a number below 3, or 'category'"),
    ],
)
def test_codes_that_do_not_fit_are_refused(model, use, words):
    with pytest.raises(UserError, match=words):
        use(model)


def test_a_model_without_images_for_its_averages_says_so():
    model = TrainedModel(registry.build(make_config(width=0.125), training=False), "nowhere", "no images here")
    with pytest.raises(UserError, match="no images here"):
        model.encode(IMAGES)
    assert model.generate(2).shape == (2, 28, 28, 1)


@pytest.mark.parametrize(
    ("scaling", "pixels", "wanted"),
    [
        ("unit", np.uint8([0, 255]), [0, 1]),
        ("tanh", np.uint8([0, 255]), [-1, 1]),
        ("binary", np.uint8([0, 1]), [0, 1]),
        ("signed", np.uint8([0, 1]), [-1, 1]),
        ("unit", np.array([0, 0.5]), [0, 0.5]),
        ("tanh", np.array([0, 0.75]), [-1, 0.5]),
    ],
)
def test_pixels_come_in_the_range_of_the_networks(scaling, pixels, wanted):
    inputs, alone = to_network(pixels[:, None, None, None], make_config(image_shape=(1, 1, 1), scaling=scaling))
    np.testing.assert_array_equal(np.ravel(inputs), wanted)
    assert not alone


def test_grey_levels_of_binary_images_are_refused():
    with pytest.raises(UserError, match="uint8 pixels of mnist must be from 0 to 1, got 255"):
        to_network(np.full((28, 28, 1), 255, np.uint8), make_config(scaling="binary"))
