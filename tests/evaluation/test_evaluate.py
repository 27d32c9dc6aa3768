"""Inference on data sets, whose batches must be mixed, and what `evaluate` makes of it: known answers of systems that
are known.
"""

import json
import types

import numpy as np
import pytest
import tensorflow as tf

from common.data.dataset import Dataset, Factor, Split
from common.errors import UserError
from common.evaluation import evaluate as evaluation
from common.evaluation import features
from common.evaluation.evaluate import evaluate, infer, majority_test_accuracy, other_statistics, sample_split
from common.nn.distributions import Latents, NoisePosterior, Posterior
from common.options import EvaluationSettings

pytestmark = pytest.mark.fast

CLASSES = 4


class Echo:
    """Stands for a system: its logits say how far each image's class lies above the mean of its batch, as batch norm
    would see it.
    """

    config = types.SimpleNamespace(
        batch_size=10, seed=3, scaling="binary", latent=types.SimpleNamespace(categories=CLASSES)
    )
    sizes: list[int] = []

    def encode(self, images):
        """Logits around each image's class, mean: the class itself."""
        value = tf.reduce_mean(images, axis=(1, 2, 3))
        self.sizes.append(len(value))
        centred = value - tf.reduce_mean(value) + (CLASSES - 1) / 2
        return Posterior(-tf.square(centred[:, None] - tf.range(CLASSES, dtype=tf.float32)), value[:, None], None)


def sorted_by_class(count):
    labels = np.sort(np.arange(count) % CLASSES)
    images = np.broadcast_to(labels[:, None, None, None], (count, 2, 2, 1)).astype(np.uint8)
    return Dataset(
        "a test", Split(images), Split(images, labels[:, None]), (Factor("class", tuple(range(CLASSES))),), "class"
    ), labels


def test_codes_come_back_in_the_order_of_the_images():
    dataset, labels = sorted_by_class(47)
    posterior = infer(Echo(), dataset.test)
    np.testing.assert_array_equal(posterior.mean[:, 0], labels)
    assert posterior.logits.shape == (47, CLASSES) and posterior.stddev is None


def test_data_sorted_by_class_is_encoded_in_mixed_batches():
    dataset, _ = sorted_by_class(400)
    assert majority_test_accuracy(Echo(), dataset) > 0.8  # In sorted batches every image is its batch's mean: 0.25.


def test_batches_are_of_nearly_equal_size():
    dataset, _ = sorted_by_class(41)
    echo = Echo()
    echo.sizes = []
    infer(echo, dataset.test)
    assert sorted(echo.sizes) == [8, 8, 8, 8, 9]


def test_a_drawn_split_keeps_order_and_factors():
    images = np.arange(20, dtype=np.uint8)[:, None, None, None]
    split = Split(images, np.arange(20)[:, None])
    drawn = sample_split(split, 5, seed=0)
    values = drawn.take(0, 5).ravel()
    assert len(drawn) == 5 and (np.diff(values.astype(int)) > 0).all()
    np.testing.assert_array_equal(drawn.factors[:, 0], values)
    np.testing.assert_array_equal(sample_split(split, 5, seed=0).factors, drawn.factors)
    assert not np.array_equal(sample_split(split, 5, seed=1).factors, drawn.factors)
    assert sample_split(split, 20, seed=0) is split and sample_split(split, None, seed=0) is split


class Perfect:
    """Stands for a system that knows everything: its codes are an image's first pixels, its reconstructions the image,
    its samples those it is given.

    Args:
        categories: those that the samples are generated from; by default what they show.
    """

    def __init__(self, config, samples=None, categories=None):
        self.config, self.step, self._samples = config, tf.constant(9), samples
        self._categories = samples[:, 0, 3, 0] if categories is None and samples is not None else categories

    def encode(self, images):
        """Means: the first three pixels; logits: the fourth as one-hot."""
        return Posterior(
            tf.one_hot(tf.cast(images[:, 0, 3, 0], tf.int32), self.config.latent.categories), images[:, 0, :3, 0]
        )

    def encode_noise(self, images):
        """It infers no z."""
        return None

    def reconstruct(self, images, seed):
        """Too dark by 1 in every pixel."""
        return images - 1.0

    def sample_latents(self, step, size):
        """The next batch of the samples, as their own noise, and their categories."""
        batch = slice(int(step) * size, (int(step) + 1) * size)
        return Latents(
            tf.constant(self._samples[batch]),
            tf.one_hot(self._categories[batch].astype(np.int32), self.config.latent.categories),
        )

    def split_code(self, code):
        """There is only d."""
        return code, None

    def generate(self, noise, code):
        """That batch."""
        return noise


@pytest.fixture
def perfect(make_config):
    """`Perfect` for images of raw pixels."""
    return lambda samples=None, categories=None: Perfect(make_config(scaling="binary"), samples, categories)


def images_of(table):
    """Images whose first pixels are the rows of `table` [n, f]."""
    images = np.zeros((len(table), 28, 28, 1), np.uint8)
    images[:, 0, : table.shape[1], 0] = table
    return images


def factors(*names, levels=4):
    return tuple(Factor(name, tuple(range(levels))) for name in names)


def test_categories_get_their_labels_on_training_images_and_are_scored_on_test_images(perfect, tmp_path):
    """Half of the classes of the test images are called otherwise than in training: the labels learnt there are wrong
    for them.
    """
    labels = np.arange(400) % 4
    images = images_of(np.stack([labels * 0] * 3 + [labels], axis=1))
    dataset = Dataset(
        "a test",
        Split(images, labels[:, None]),
        Split(images, np.array([0, 1, 3, 2])[labels][:, None]),
        factors("class"),
        "class",
    )
    report = evaluation.Report()
    evaluation._classify(perfect(), dataset, EvaluationSettings(moving=False), report)
    assert report.metrics == {
        "accuracy_majority": 0.5,
        "accuracy_one_to_one": 0.5,
        "accuracy_majority_fitted_on_test": 1.0,
    }
    assert report.tables["category_labels"] == [0, 1, 2, 3]
    assert report.tables["confusion"] == [[100, 0, 0, 0, 0], [0, 100, 0, 0, 0], [0, 0, 0, 100, 0], [0, 0, 100, 0, 0]]
    assert report.sizes == {"classification_train": 400, "classification_test": 400}


def test_codes_that_are_the_factors_score_1_and_everything_is_written_down(perfect, tmp_path):
    table = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    dataset = Dataset("a grid", Split(images_of(table), table), None, factors("x", "y", "z"))
    result = evaluate(
        perfect(images_of(table).astype(np.float32)),
        dataset,
        tmp_path,
        str(tmp_path / "c-9"),
        EvaluationSettings(votes=30),
    )
    assert result == json.loads((tmp_path / "metrics.json").read_text())
    metrics = result["metrics"]
    assert metrics["factor_vae"] == metrics["factor_vae_continuous"] == 1.0
    assert metrics["mig"] == metrics["mig_continuous"] == pytest.approx(1.0)
    assert metrics["sap"] == metrics["sap_continuous"] > 0.3
    assert metrics["reconstruction_error_per_value"] == pytest.approx(1.0) and metrics[
        "reconstruction_error_per_image"
    ] == pytest.approx(784.0)
    assert result["tables"]["active_dimensions"] == [True, True, True, False]  # All images are of one category.
    assert (
        result["sizes"]["factor_vae_train_votes"] == 30
        and result["sizes"]["mig"] == 64
        and result["sizes"]["reconstruction"] == 64
    )
    assert result["skipped"].keys() == {
        "accuracy_majority",
        "accuracy_one_to_one",
        "accuracy_majority_fitted_on_test",
        "fid_keras",
        "kid_keras",
        "fid_classifier",
        "kid_classifier",
        "category_purity",
        "log_likelihood_bound",
    }
    assert metrics["category_accuracy_generated"] == 1.0 and result["sizes"]["generated"] == 32
    assert (result["step"], result["data"], result["config"]["name"], result["trained_on"]) == (
        9,
        "a grid",
        "tiny",
        None,
    )
    assert "tensorflow" in result["versions"] and result["settings"]["votes"] == 30


def test_a_system_that_infers_noise_has_a_bound_on_the_log_likelihood(perfect):
    """Posteriors that are the priors have no divergence, so what is left is log N(x; x - 1, I/2) of 784 pixels."""
    system = perfect()
    system.encode = lambda images: Posterior(
        tf.zeros((len(images), 4)), tf.zeros((len(images), 3)), tf.ones((len(images), 3))
    )
    system.encode_noise = lambda images: NoisePosterior(tf.zeros((len(images), 7)), tf.ones((len(images), 7)))
    report = evaluation.Report()
    evaluation._reconstruct(
        system, Dataset("a test", Split(images_of(np.zeros((20, 1))))), EvaluationSettings(), report
    )
    assert report.metrics["log_likelihood_bound"] == pytest.approx(-784 - 392 * np.log(np.pi))
    assert not report.skipped


def test_fid_and_its_floor_are_between_equally_many(perfect):
    """Samples that are the training images shifted by 0.5 in one of the features; test images that are the training
    images.
    """
    table = np.random.RandomState(0).randint(0, 4, (64, 4))
    split = Split(images_of(table), table[:, 3:])
    shifted = images_of(table).astype(np.float32)
    shifted[:, 0, 0] += 0.5
    dataset = Dataset("a test", split, split, factors("class"), "class")
    report = evaluation.Report()
    evaluation._compare(
        perfect(shifted),
        dataset,
        EvaluationSettings(),
        report,
        {"pixels": lambda images: images[:, 0, :4, 0].astype(np.float32)},
        None,
    )
    assert report.metrics["fid_pixels"] == pytest.approx(0.25) and report.metrics["fid_pixels_floor"] == pytest.approx(
        0.0, abs=1e-9
    )
    assert report.metrics["kid_pixels"] > report.metrics["kid_pixels_floor"]
    assert report.sizes == {"generated": 64, "fid_images_a_side": 64, "kid_subsets": 50, "kid_subset": 32}


def test_generated_categories_are_read_by_the_encoder_and_named_by_the_classifier(perfect):
    """A quarter of the images show the class before their category's; the classifier takes the last class for the one
    before it.
    """
    shown = np.arange(64) % 4
    categories = np.where(np.arange(64) < 16, (shown + 1) % 4, shown)
    images = images_of(np.stack([shown] * 4, axis=1))
    dataset = Dataset("a test", Split(images), Split(images))
    classifier = features.Classifier(
        None, lambda images: np.eye(4)[np.minimum(images[:, 0, 3, 0], 2).astype(int)], 0.75
    )
    report = evaluation.Report()
    evaluation._compare(
        perfect(images.astype(np.float32), categories), dataset, EvaluationSettings(), report, {}, classifier
    )
    assert report.metrics == {"category_accuracy_generated": 48 / 64, "category_purity": (3 * 12 + 16) / 64}
    assert report.sizes == {"generated": 64}


def test_of_a_single_image_nothing_is_compared(perfect):
    report = evaluation.Report()
    evaluation._compare(
        perfect(),
        Dataset("a test", Split(images_of(np.zeros((1, 4))))),
        EvaluationSettings(),
        report,
        {"pixels": None},
        None,
    )
    assert report.metrics == report.sizes == {}
    assert report.skipped.keys() == {"category_accuracy_generated", "category_purity", "fid_pixels", "kid_pixels"}


def test_two_real_sets_without_a_test_split_are_disjoint_and_equal():
    dataset = Dataset("a test", Split(np.arange(21, dtype=np.uint8)[:, None, None, None]))
    first, second = (images.ravel().tolist() for images in evaluation._two_real_sets(dataset, 100, seed=0))
    assert len(first) == len(second) == 10 and not set(first) & set(second)
    assert [len(images) for images in evaluation._two_real_sets(dataset, 4, seed=0)] == [4, 4]


def test_the_other_statistics_are_the_moving_averages_of_the_same_networks(system):
    for layer in system.networks["encoder"].layers:
        if hasattr(layer, "moving_variance"):
            layer.moving_variance.assign(layer.moving_variance * 4.0)
    other = other_statistics(system)
    assert other.config.batch_norm == "moving" and other_statistics(other).config.batch_norm == "batch"
    images = tf.random.stateless_uniform((8, 28, 28, 1), (1, 2))
    wanted = other.encode(images)
    np.testing.assert_allclose(other.encode(images[:3]).mean, wanted.mean[:3], atol=1e-6)  # Whatever the batch.
    back = other_statistics(other).encode(images)
    np.testing.assert_allclose(back.mean, system.encode(images).mean, atol=1e-6)
    assert np.abs(wanted.mean - back.mean).max() > 1e-3


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"images": 1}, "--images must be at least 2"),
        ({"votes": 0}, "--votes"),
        ({"seed": -1}, "--evaluation-seed"),
        ({"factor_vae": "other"}, "--factor-vae"),
    ],
)
def test_settings_out_of_range_are_refused(changes, words):
    with pytest.raises(UserError, match=words):
        EvaluationSettings(**changes)
