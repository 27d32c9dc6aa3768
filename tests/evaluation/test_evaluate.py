"""What `evaluate` measures: known answers of systems that are known."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from common.data.dataset import Dataset, Factor, Split
from common.errors import UserError
from common.evaluation.clustering import Scorer, accuracies, category_agreement, class_names, generated_scores
from common.evaluation.disentanglement import factor_vae_plan, factor_vae_scores, mig_scores, sap_scores
from common.evaluation.distances import distances, two_real_sets
from common.evaluation.encode import Reconstructed, encode
from common.evaluation.evaluate import evaluate
from common.evaluation.information import information
from common.evaluation.metrics.codes import Codes, NotMeasurable
from common.evaluation.reconstruction import reconstruction_scores
from common.evaluation.statistics import Statistics
from common.evaluation_options import EvaluationSettings
from common.models import registry
from common.nn.distributions import Latents, NoisePosterior, Posterior
from common.observers import observers_of
from common.options import RunFolders
from helpers.systems import make_config


class Perfect:
    """Stands for a system that knows everything: its codes are an image's first pixels, its samples given images."""

    name, can = "perfect", staticmethod(lambda capability: capability in ("encode", "sample", "reconstruct"))

    def __init__(self, samples=None):
        self.config, self.step, self._samples = make_config(scaling="binary"), tf.constant(9), samples

    def encode(self, images):
        """Means: the first three pixels; logits: the fourth as one-hot."""
        return Posterior(tf.one_hot(tf.cast(images[:, 0, 3, 0], tf.int32), 4), images[:, 0, :3, 0])

    def reconstruct(self, images, seed):
        """Too dark by 1 in every pixel."""
        return images - 1.0

    def sample_prior(self, count, seed):
        """The samples as their own noise, and the categories that they show."""
        samples = tf.constant(self._samples[:count])
        return Latents(samples, tf.one_hot(tf.cast(samples[:, 0, 3, 0], tf.int32), 4), tf.zeros((count, 0)))

    def generate(self, latents):
        """Those samples."""
        return latents.noise


def images_of(table):
    """Images whose first pixels are the rows of `table` [n, f]."""
    images = np.zeros((len(table), 28, 28, 1), np.uint8)
    images[:, 0, : table.shape[1], 0] = table
    return images


def factors(*names):
    return tuple(Factor(name, (0, 1, 2, 3)) for name in names)


def classes(count, test=(0, 1, 2, 3)):
    """Images that show one of four classes; in the test split, class k is called `test[k]`."""
    labels = np.arange(count) % 4
    images = images_of(np.stack([labels * 0] * 3 + [labels], axis=1))
    splits = Split(images, labels[:, None]), Split(images, np.array(test)[labels][:, None])
    return Dataset("classes", *splits, factors("class"), "class")


def test_accuracies_by_hand():
    """Categories 0 and 1 are both mostly label 0 in training; in the test images, category 1 is label 1."""
    fitted, scored = np.array([[9, 1], [6, 4]]), np.array([[8, 2], [0, 10]])
    assert accuracies(fitted, scored) == {"accuracy": 0.4, "accuracy_one_to_one": 0.9, "accuracy_fitted_on_test": 0.9}


def test_labels_of_categories_come_from_training_images(tmp_path):
    """Half of the classes of the test images are swapped: the labels fitted in training are wrong for them."""
    dataset, settings = classes(400, test=(0, 1, 3, 2)), EvaluationSettings(other_statistics=False, images=400)
    system = Perfect(dataset.train.images.astype(np.float32))
    result = evaluate(system, dataset, tmp_path, "c-9", settings)
    metrics = result["metrics"]
    assert (metrics["accuracy"], metrics["accuracy_one_to_one"], metrics["accuracy_fitted_on_test"]) == (0.5, 0.5, 1.0)
    assert result["tables"]["category_labels"] == [0, 1, 2, 3]
    assert result["tables"]["confusion"][2:] == [[0, 0, 0, 100, 0], [0, 0, 100, 0, 0]]
    assert result["sizes"]["accuracy_train"] == result["sizes"]["accuracy_test"] == 400
    assert metrics["category_accuracy_generated"] == metrics["category_purity"] == 1.0


def test_codes_that_are_the_factors_score_1(tmp_path):
    table = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    dataset = Dataset("a grid", Split(images_of(table), table), None, factors("x", "y", "z"))
    system = Perfect(images_of(table).astype(np.float32))
    result = evaluate(system, dataset, tmp_path, "c-9", EvaluationSettings(votes=30), trained_on="another grid")
    assert result == json.loads((tmp_path / "metrics.json").read_text())
    metrics = result["metrics"]
    assert metrics["factor_vae"] == metrics["factor_vae_continuous"] == 1.0
    assert metrics["mig"] == metrics["mig_continuous"] == pytest.approx(1.0)
    assert metrics["sap"] == metrics["sap_continuous"] > 0.3
    assert metrics["reconstruction_error_per_value"] == pytest.approx(1.0)
    assert result["tables"]["active_dimensions"] == [True, True, True, False]  # All images are of one category.
    assert {"accuracy", "accuracy_one_to_one", "fid_keras", "category_purity", "log_likelihood_bound"} < set(
        result["skipped"]
    )
    assert (result["step"], result["trained_on"], result["quick"]) == (9, "another grid", False)


def test_disentanglement_without_a_category_has_one_score_each():
    table = np.random.RandomState(0).randint(0, 4, (300, 2))
    codes = Codes(table.astype(np.float32))
    scores, sizes = sap_scores(codes, table, factors("x", "y"))
    assert mig_scores(codes, table).keys() == {"mig"}
    assert scores.keys() == {"sap"} and sizes == {"sap_train": 200, "sap_test": 100}
    plan = factor_vae_plan(table, EvaluationSettings(votes=40, vote_images=20))
    assert factor_vae_scores(plan, codes.take(plan.images)) == {"factor_vae": 1.0}
    assert factor_vae_plan(table, EvaluationSettings(factor_vae="none")) is None


def test_category_agreement_is_1_only_if_views_change_nothing():
    """Under a view, the fourth pixel of the first row mixes with others; blank images stay blank."""
    blank, shown = Split(images_of(np.zeros((40, 4)))), classes(400).train
    for split, least, most in ((blank, 1.0, 1.0), (shown, 0.2, 0.8)):
        agreement = category_agreement(Perfect(), split, encode(Perfect(), split.images))
        assert least <= agreement <= most


def test_generated_categories_are_read_and_classified():
    """The encoder misreads a quarter; the classifier takes the last class for the one before it."""
    category = np.arange(64) % 4
    codes = Codes(np.zeros((64, 0)), np.where(np.arange(64) < 16, (category + 1) % 4, category), 4)
    logits = np.eye(4)[np.minimum(category, 2)]
    assert generated_scores(category, codes, logits) == {"category_accuracy_generated": 0.75, "category_purity": 1.0}
    assert generated_scores(category, codes, None) == {"category_accuracy_generated": 0.75}


def test_reconstruction_errors_by_hand():
    """Two images of 1x2 pixels, in two batches: squares 1 + 4 and 0 + 9."""
    batches = [([0.0, 0.0], [1.0, 2.0]), ([1.0, 1.0], [1.0, 4.0])]
    batches = [[np.reshape(values, (1, 1, 2, 1)) for values in batch] for batch in batches]
    scores = reconstruction_scores(Reconstructed(*batch, None, None) for batch in batches)
    assert scores == {"reconstruction_error_per_value": 14 / 4, "reconstruction_error_per_image": 14 / 2}
    with pytest.raises(ValueError, match="no images"):
        reconstruction_scores([])


def test_posteriors_equal_to_the_priors_leave_the_pixel_density():
    images = np.zeros((20, 28, 28, 1))
    posterior = Posterior(np.zeros((20, 4)), np.zeros((20, 3)), np.ones((20, 3)))
    batch = Reconstructed(images, images - 1, posterior, NoisePosterior(np.zeros((20, 7)), np.ones((20, 7))))
    assert reconstruction_scores([batch])["log_likelihood_bound"] == pytest.approx(-784 - 392 * np.log(np.pi))


def test_distances_and_their_floors_are_between_equally_many():
    """Samples are the training images shifted by 0.5 in one feature; test images are the training images."""
    table = np.random.RandomState(0).randint(0, 4, (64, 4))
    dataset = Dataset("a test", *[Split(images_of(table), table[:, 3:])] * 2, factors("class"), "class")
    shifted = images_of(table).astype(np.float32)
    shifted[:, 0, 0] += 0.5
    real, other = two_real_sets(dataset, 100, seed=0)
    extract = lambda images: images[np.arange(64)][:, 0, :4, 0].astype(np.float32)  # noqa: E731
    scores, sizes = distances("pixels", extract, real, other, shifted)
    assert scores["fid_pixels"] == pytest.approx(0.25)
    assert scores["fid_pixels_floor"] == pytest.approx(0.0, abs=1e-9)
    assert scores["kid_pixels"] > scores["kid_pixels_floor"]
    assert sizes == {"fid_images_a_side": 64, "kid_subsets": 50, "kid_subset": 32}


def test_two_real_sets_of_one_split_are_disjoint_and_equal():
    dataset = Dataset("a test", Split(np.arange(21, dtype=np.uint8)[:, None, None, None]))
    first, second = (images[np.arange(10)].ravel().tolist() for images in two_real_sets(dataset, 100, seed=0))
    assert not set(first) & set(second)
    assert [len(images) for images in two_real_sets(dataset, 4, seed=0)] == [4, 4]
    with pytest.raises(NotMeasurable, match="needs 4 real images .*: there are 1 training images"):
        two_real_sets(Dataset("one image", Split(np.zeros((1, 2, 2, 1), np.uint8))), 100, seed=0)


SMALL = dataclasses.replace(EvaluationSettings.for_run(5), other_statistics=False)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_of_few_test_images_the_rest_is_measured(tmp_path, count):
    dataset = classes(40)
    few = Split(dataset.test.images[:count], dataset.test.factors[:count])
    system, settings = Perfect(classes(400).train.images.astype(np.float32)), SMALL
    result = evaluate(system, dataclasses.replace(dataset, test=few), tmp_path, "c-9", settings)
    assert all(np.isfinite(value) for value in result["metrics"].values())
    always = {"category_agreement", "category_accuracy_generated", "reconstruction_error_per_value"}
    assert always <= result["metrics"].keys()
    assert ("accuracy" in result["metrics"], "category_purity" in result["metrics"]) == (count > 0, count > 0)
    few = "needs 4 real images of each split: there are 40 training images and 3 test images, --num-samples is 100"
    skipped = {1: few.replace("3 test", "1 test"), 3: few}.get(count)  # Without any, training images are held out.
    assert result["skipped"].get("fid_classifier") == skipped
    assert count or result["skipped"]["category_purity"] == "the data set has no classes with test images"


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_of_few_images_with_factors_the_rest_is_measured(tmp_path, count):
    table = np.array([[0, 1], [0, 2], [1, 2], [1, 1], [2, 1], [2, 2]])[:count]
    dataset = Dataset("a grid", Split(images_of(table), table), None, factors("x", "y"))
    system = Perfect(images_of(np.zeros((100, 4))).astype(np.float32))
    result = evaluate(system, dataset, tmp_path, "c-9", EvaluationSettings.for_run(5))
    names = {"factor_vae", "mig", "sap"}
    assert names <= result["metrics"].keys() | result["skipped"].keys()
    assert names & result["metrics"].keys() == {1: set(), 2: {"mig"}}.get(count, names)
    assert "reconstruction_error_per_value" in result["metrics"]


def test_two_images_are_enough_for_what_two_can_tell(tmp_path):
    dataset, settings = classes(40), dataclasses.replace(SMALL, images=2, num_samples=2)
    result = evaluate(Perfect(dataset.train.images.astype(np.float32)), dataset, tmp_path, "c-9", settings)
    assert {"accuracy", "category_purity"} <= result["metrics"].keys()
    assert result["sizes"]["accuracy_test"] == result["sizes"]["generated"] == 2
    assert "--num-samples is 2" in result["skipped"]["kid_classifier"]


def test_a_scorer_scores_what_there_is():
    system = registry.build(make_config(width=0.125), training=False)
    dataset = classes(40)
    scorer = Scorer(Statistics(system, dataset), dataset)
    assert scorer.names == ("accuracy", "category_agreement")
    unlabelled = Dataset("no labels", dataset.train)
    assert Scorer(Statistics(system, unlabelled), unlabelled).names == ("category_agreement",)


def test_a_scorer_fits_labels_on_training_images():
    dataset = classes(400, test=(0, 1, 3, 2))
    scores = Scorer(Statistics(Perfect(), dataset), dataset)()
    assert scores["accuracy"] == 0.5 and 0.2 < scores["category_agreement"] < 0.8


def test_a_category_without_images_has_no_class():
    dataset = classes(40)
    shown = dataset.train.factors[:, 0] != 2
    train = Split(dataset.train.images[shown], dataset.train.factors[shown])
    names = class_names(Perfect(), dataclasses.replace(dataset, train=train), 100, 0)
    assert names == ["class 0", "class 1", "-", "class 3"]


def test_information_is_the_fraction_of_a_factors_entropy():
    table = np.stack(np.meshgrid(*[np.arange(4)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    shown = np.stack([table[:, 0], table[:, 1] // 2, table[:, 0] * 0, table[:, 0] // 2], axis=1)
    split = Split(images_of(shown), np.pad(table, ((0, 0), (0, 1))))
    found = information(Perfect(), Dataset("a grid", split, None, factors("x", "y", "constant")), 100, 0)
    assert (found.factors, found.codes, found.images) == (["x", "y"], ["c0", "c1", "c2", "d"], 16)
    np.testing.assert_allclose(found.values, [[1, 0, 0, 0.5], [0, 0.5, 0, 0]], atol=1e-6)


def test_sap_leaves_out_factors_of_many_levels():
    table = np.random.RandomState(0).randint(0, 4, (300, 2))
    wide, many = np.column_stack([table, np.arange(300) % 65]), Factor("identity", tuple(range(65)))
    codes, few = Codes(table.astype(float)), factors("x", "y")
    assert sap_scores(codes, wide, (*few, many)) == sap_scores(codes, table, few)


@pytest.mark.parametrize(("least", "restart"), [(0.0, None), (0.9, ("category_agreement", 0.9))])
def test_a_run_restarts_by_its_agreement(least, restart, tmp_path):
    system, dataset = registry.build(make_config(width=0.125, restart_below=least), training=False), classes(40)
    assert observers_of(Statistics(system, dataset), dataset, RunFolders.of("r", tmp_path)).restart == restart


def test_quick_sizes_go_to_a_file_of_their_own(tmp_path):
    dataset = Dataset("a test", classes(40).train)
    system = Perfect(dataset.train.images.astype(np.float32))
    (tmp_path / "metrics.json").write_text("full")
    assert evaluate(system, dataset, tmp_path, "c-9", EvaluationSettings.for_run(5))["quick"]
    assert (tmp_path / "metrics.json").read_text() == "full" and (tmp_path / "metrics-quick.json").is_file()


def test_sizes_follow_the_length_of_a_run():
    assert EvaluationSettings.for_run(1000) == EvaluationSettings()
    short, shorter = EvaluationSettings.for_run(500), EvaluationSettings.for_run(5)
    assert (short.images, short.num_samples, short.votes, short.quick) == (5000, 1000, 250, True)
    assert (shorter.images, shorter.num_samples, shorter.votes, shorter.vote_images) == (100, 100, 20, 5)


def test_batch_statistics_need_no_copy():
    system = Perfect()
    assert Statistics(system, None).under() is system


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"images": 1}, "--num-images must be at least 2"),
        ({"votes": 0}, "--votes"),
        ({"seed": -1}, "--evaluation-seed"),
        ({"factor_vae": "other"}, "--factor-vae"),
    ],
)
def test_settings_out_of_range_are_refused(changes, words):
    with pytest.raises(UserError, match=words):
        EvaluationSettings(**changes)
