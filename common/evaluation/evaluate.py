"""What a trained system makes of a data set, and the command `evaluate`: every metric of `common.evaluation.metrics`, into metrics.json."""

import dataclasses
import pathlib

import numpy as np
import tensorflow as tf

from common.data.dataset import Dataset, Split, Subset
from common.data.pipeline import scale
from common.evaluation import features
from common.evaluation.metrics import classification, factor_vae
from common.evaluation.metrics.codes import Codes
from common.evaluation.metrics.frechet import Moments, frechet_distance
from common.evaluation.metrics.kid import kid
from common.evaluation.metrics.likelihood import log_likelihood_bound
from common.evaluation.metrics.mig import mutual_information_gap
from common.evaluation.metrics.reconstruction import SquaredError
from common.evaluation.metrics.sap import separated_attribute_predictability
from common.io.atomic import write_json
from common.models import registry
from common.models.system import System
from common.nn.distributions import Posterior
from common.options import EvaluationSettings
from common.runs import METRICS_FILE, RUN_FILE, provenance, read_run

KID_SUBSETS, KID_SIZE = 50, 1000
_SAP_LEVELS = 64
_CHUNK = 500  # Images whose features are taken at a time.


def evaluate(
    system: System,
    dataset: Dataset,
    folder: pathlib.Path,
    checkpoint: str,
    settings: EvaluationSettings = EvaluationSettings(),
) -> dict:
    """Measures everything that `dataset` allows, writes `folder`/metrics.json and returns what it holds.

    Its "metrics" are numbers by name, its "tables" what they come from, its "sizes" the numbers of images behind them, and "skipped"
    says why a metric is absent. Images are encoded, reconstructed and generated in mixed batches of the training size.

    Args:
        system: at the weights of `checkpoint`.
        dataset: with a test split where there is one; what it has no labels or factors for is skipped.
        folder: where to write; it exists.
        checkpoint: its path, for the file.
        settings: sample sizes.

    Raises:
        UserError: `settings` names InceptionV3 weights that are none.
    """
    report = Report()
    extractors, classifier = _extractors(
        system, dataset, settings, report
    )  # First: a mistake here should not come after an hour.
    _classify(system, dataset, settings, report)
    _disentangle(system, dataset, settings, report)
    _reconstruct(system, dataset, settings, report)
    _compare(system, dataset, settings, report, extractors, classifier)
    source = pathlib.Path(checkpoint).parent / RUN_FILE
    result = {
        **provenance(system.config, dataset.source),
        "trained_on": read_run(source)["data"] if source.is_file() else None,
        "checkpoint": checkpoint,
        "step": int(system.step.numpy()),
        "settings": {
            **dataclasses.asdict(settings),
            "inception_weights": settings.inception_weights and str(settings.inception_weights),
        },
        **dataclasses.asdict(report),
    }
    write_json(result, folder / METRICS_FILE)
    print(f"Wrote {folder / METRICS_FILE}", flush=True)
    return result


@dataclasses.dataclass
class Report:
    """What has been measured so far."""

    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    tables: dict[str, list] = dataclasses.field(default_factory=dict)
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)

    def add(self, **metrics: float) -> None:
        """Takes metrics down, and prints them."""
        for name, value in metrics.items():
            self.metrics[name] = float(value)
            print(f"{name}: {value:.4g}", flush=True)

    def skip(self, why: str, *names: str) -> None:
        """Takes down why metrics are absent, and prints it."""
        self.skipped.update(dict.fromkeys(names, why))
        print(f"Skipped {', '.join(names)}: {why}", flush=True)


def infer(system: System, split: Split) -> Posterior:
    """q(u|x) of every image of `split`, as numpy arrays in the split's order.

    Batch norm uses each batch's own statistics, so what is inferred for an image depends on the batch it is in: data sets sorted
    by class would give batches of one class, whose statistics erase the class. So the batches are drawn at random (by the
    run's seed), of the training size or just below.
    """
    order, batches = _mixed_batches(system, split)
    parts = [system.encode(scale(tf.constant(split.images[batch]), system.config.scaling)) for batch in batches]
    back = np.argsort(order)
    return Posterior(*(None if column[0] is None else np.concatenate(column)[back] for column in zip(*parts)))


def _mixed_batches(system: System, split: Split) -> tuple[np.ndarray, list[np.ndarray]]:
    """All images of `split` in a random order, and that cut into batches of nearly equal size."""
    order = np.random.RandomState(system.config.seed).permutation(len(split))
    return order, np.array_split(order, -(-len(split) // system.config.batch_size))


def codes_of(system: System, split: Split) -> Codes:
    """The codes of every image of `split`: means, and the most likely category."""
    posterior = infer(system, split)
    return Codes(posterior.mean, posterior.logits.argmax(axis=1), system.config.latent.categories)


def sample_split(split: Split, count: int | None, seed: int) -> Split:
    """`count` images of `split` at random with their factors, in the split's order; all of it where that is None or it has no more."""
    if count is None or count >= len(split):
        return split
    return _choose(split, np.sort(np.random.RandomState(seed).permutation(len(split))[:count]))


def _choose(split: Split, indices: np.ndarray) -> Split:
    return Split(Subset(split.images, indices), None if split.factors is None else split.factors[indices])


def majority_test_accuracy(system: System, dataset: Dataset) -> float:
    """The unsupervised accuracy on the test images, in [0, 1]: argmax of the logits, each category mapped to its majority class."""
    return classification.majority_accuracy(_counts(system, dataset, dataset.test))


def _counts(system: System, dataset: Dataset, split: Split) -> np.ndarray:
    """How often each category meets each class in `split`: int64 [K, L]."""
    categories = infer(system, split).logits.argmax(axis=1)
    num_labels = next(f.levels for f in dataset.factors if f.name == dataset.label)
    return classification.contingency(categories, dataset.labels(split), system.config.latent.categories, num_labels)


def other_statistics(system: System) -> System:
    """A second system with the same networks, whose inference normalises with the other of batch statistics and moving averages."""
    other = registry.build(
        dataclasses.replace(system.config, batch_norm="moving" if system.config.batch_norm == "batch" else "batch")
    )
    for name, network in system.networks.items():
        other.networks[name].set_weights(network.get_weights())
    other.step.assign(system.step)
    return other


def _classify(system: System, dataset: Dataset, settings: EvaluationSettings, report: Report) -> None:
    """Unsupervised classification: categories get their labels on training images, and are scored on test images."""
    names = ("accuracy_majority", "accuracy_one_to_one", "accuracy_majority_fitted_on_test")
    if dataset.label is None or dataset.test is None:
        report.skip("the data set has no classes with test images", *names)
        return
    limit = settings.images_of(system.config.image_shape[0])
    train, test = (sample_split(split, limit, settings.seed) for split in (dataset.train, dataset.test))
    report.sizes.update(classification_train=len(train), classification_test=len(test))
    for one in (system, other_statistics(system)) if settings.moving else (system,):
        end = "" if one is system else f"_{one.config.batch_norm}_statistics"
        fitted, scored = _counts(one, dataset, train), _counts(one, dataset, test)
        majority, one_to_one = classification.majority_labels(fitted), classification.one_to_one_labels(fitted)
        values = (
            classification.majority_accuracy(scored, majority),
            classification.one_to_one_accuracy(scored, one_to_one),
            classification.majority_accuracy(scored),
        )
        report.add(**{f"{name}{end}": value for name, value in zip(names, values)})
        report.tables[f"category_labels{end}"] = majority.tolist()
        report.tables[f"confusion{end}"] = classification.confusion(scored, majority).tolist()


def _disentangle(system: System, dataset: Dataset, settings: EvaluationSettings, report: Report) -> None:
    """The FactorVAE score, MIG and SAP of training images, with the category as one dimension and without it."""
    if len(dataset.factors) < 2:
        report.skip("the data set has no factors of variation", "factor_vae", "mig", "sap")
        return
    _factor_vae(system, dataset, settings, report)
    limit = min(settings.images_of(system.config.image_shape[0]) or 10_000, 10_000)  # disentanglement_lib's.
    split = sample_split(dataset.train, limit, settings.seed)
    codes, factors = codes_of(system, split), split.factors
    varying = [len(np.unique(column)) > 1 for column in factors.T]
    report.sizes["mig"] = len(split)
    # SAP fits a classifier for each level: a factor of very many (a chair's identity) has hardly an image of each.
    few = np.array([f.levels <= _SAP_LEVELS for f in dataset.factors]) & varying
    order = np.random.RandomState(settings.seed).permutation(len(split))
    fit, score = np.split(order, [2 * len(order) // 3])
    report.sizes.update(sap_train=len(fit), sap_test=len(score))
    for end, kind in (("", codes), ("_continuous", codes.without_category())):
        report.add(**{f"mig{end}": mutual_information_gap(kind, factors[:, varying])})
        if few.any():
            report.add(
                **{
                    f"sap{end}": separated_attribute_predictability(
                        kind.take(fit), factors[fit][:, few], kind.take(score), factors[score][:, few]
                    )
                }
            )


def _factor_vae(system: System, dataset: Dataset, settings: EvaluationSettings, report: Report) -> None:
    if settings.factor_vae == "none":
        report.skip("not asked for", "factor_vae")
        return
    sizes = factor_vae.PAPER if settings.factor_vae == "paper" else factor_vae.DISENTANGLEMENT_LIB
    if settings.vote_images is not None:
        sizes = sizes._replace(batch=settings.vote_images)
    if settings.votes is not None:
        sizes = sizes._replace(
            train_votes=settings.votes,
            eval_votes=settings.votes // 2 if sizes.eval_votes else 0,
            variance_samples=min(sizes.variance_samples, settings.votes * sizes.batch),
        )
    plan = factor_vae.plan(dataset.train.factors, sizes, np.random.RandomState(settings.seed))
    codes = codes_of(system, _choose(dataset.train, plan.images))
    report.sizes.update(
        {f"factor_vae_{name}": value for name, value in sizes._asdict().items()}, factor_vae_images=len(plan.images)
    )
    report.add(
        factor_vae=factor_vae.score(plan, codes), factor_vae_continuous=factor_vae.score(plan, codes.without_category())
    )
    report.tables["active_dimensions"] = factor_vae.active_dimensions(plan, codes).tolist()


def _reconstruct(system: System, dataset: Dataset, settings: EvaluationSettings, report: Report) -> None:
    """The squared error of G(z, u ~ q(u|x)) and, where the system infers z too, the bound on the log-likelihood."""
    split = sample_split(
        dataset.test or dataset.train, settings.compared_of(system.config.image_shape[0]), settings.seed
    )
    error, bounds = SquaredError(), []
    for number, batch in enumerate(_mixed_batches(system, split)[1]):
        images = scale(tf.constant(split.images[batch]), system.config.scaling)
        made = system.reconstruct(images, tf.constant([settings.seed, number], tf.int32)).numpy()
        error.add(images.numpy(), made)
        inferred = system.encode_noise(images)
        if inferred is not None:
            bounds.append(
                log_likelihood_bound(
                    images.numpy(), made[None], *(part.numpy() for part in (*system.encode(images), *inferred))
                )
            )
    report.sizes["reconstruction"] = len(split)
    report.add(reconstruction_error_per_value=error.per_value, reconstruction_error_per_image=error.per_image)
    if bounds:
        report.add(log_likelihood_bound=np.concatenate(bounds).mean())
    else:
        report.skip(f"{system.name} does not infer z", "log_likelihood_bound")


def _extractors(
    system: System, dataset: Dataset, settings: EvaluationSettings, report: Report
) -> tuple[dict[str, features.Extractor], features.Classifier | None]:
    """The feature extractors that there are, by the name that their metrics end in, and the classifier that is one of them."""
    extractors, classifier, scaling = {}, None, system.config.scaling
    if settings.inception_weights is not None:
        extractors["keras"] = features.inception(scaling, settings.inception_weights)
    else:
        report.skip("no InceptionV3 weights given (--inception-weights)", "fid_keras", "kid_keras")
    if dataset.label is not None and dataset.test is not None:
        classifier = features.small_classifier(dataset, scaling, settings.seed, settings.classifier_images)
        extractors["classifier"] = classifier.features
        report.add(classifier_test_accuracy=classifier.accuracy)
        report.sizes["classifier_train"] = min(settings.classifier_images, len(dataset.train))
    else:
        report.skip(
            "the data set has no classes with test images", "fid_classifier", "kid_classifier", "category_purity"
        )
    return extractors, classifier


def _compare(
    system: System,
    dataset: Dataset,
    settings: EvaluationSettings,
    report: Report,
    extractors: dict[str, features.Extractor],
    classifier: features.Classifier | None,
) -> None:
    """What is generated: whether the encoder reads its categories and each is one class; FID and KID against training images.

    The floor of FID and KID is that of other real images against the same, as many of each.
    """
    limit = settings.compared_of(system.config.image_shape[0])
    count = _images_a_side(dataset, limit)
    if count == 0:
        report.skip(
            "there are not two sets of real images to compare with",
            "category_accuracy_generated",
            "category_purity",
            *(f"{metric}_{name}" for name in extractors for metric in ("fid", "kid")),
        )
        return
    generated, categories = _generate(system, count, settings.seed)
    report.sizes.update(generated=len(generated))
    size = system.config.batch_size
    read = np.concatenate(
        [
            system.encode(tf.constant(generated[start : start + size])).logits.numpy().argmax(axis=1)
            for start in range(0, len(generated), size)
        ]
    )
    report.add(category_accuracy_generated=np.mean(read == categories))
    if classifier is not None:
        classes = classifier.logits(generated)
        report.add(
            category_purity=classification.majority_accuracy(
                classification.contingency(
                    categories, classes.argmax(axis=1), system.config.latent.categories, classes.shape[1]
                )
            )
        )
    if not extractors:
        return
    reference, other = _two_real_sets(dataset, limit, settings.seed)
    report.sizes.update(
        fid_images_a_side=len(reference), kid_subsets=KID_SUBSETS, kid_subset=min(KID_SIZE, len(reference) // 2)
    )
    for name, extractor in extractors.items():
        real, fake, floor = (_features(extractor, images) for images in (reference, generated, other))
        for end, made in (("", fake), ("_floor", floor)):
            report.add(**{f"fid_{name}{end}": _frechet(made, real)})
            distance, deviation = kid(
                made, real, KID_SUBSETS, report.sizes["kid_subset"], np.random.RandomState(settings.seed)
            )
            report.add(**{f"kid_{name}{end}": distance, f"kid_{name}{end}_standard_error": deviation})


def _images_a_side(dataset: Dataset, limit: int) -> int:
    """How many images each of two disjoint sets of real ones has, at most `limit`."""
    return (
        min(limit, len(dataset.train) // 2)
        if dataset.test is None
        else min(limit, len(dataset.train), len(dataset.test))
    )


def _two_real_sets(dataset: Dataset, limit: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two disjoint sets of equally many real images, at most `limit` each: training images, and test images where there are any."""
    count = _images_a_side(dataset, limit)
    if dataset.test is not None:
        return tuple(_all_of(sample_split(split, count, seed)) for split in (dataset.train, dataset.test))
    order = np.random.RandomState(seed).permutation(len(dataset.train))
    return tuple(dataset.train.images[np.sort(half)] for half in (order[:count], order[count : 2 * count]))


def _all_of(split: Split) -> np.ndarray:
    return split.take(0, len(split))


def _generate(system: System, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` images from the prior in batches of the training size, float32 [count, h, w, c], and the category of each, int [count]."""
    size = system.config.batch_size
    batches = -(-count // size)
    latents = [system.sample_latents(tf.constant(seed * batches + i, tf.int64), size) for i in range(batches)]
    images = np.concatenate([system.generate(one).numpy() for one in latents])
    categories = np.concatenate([one.category.numpy().argmax(axis=1) for one in latents])
    return images[:count], categories[:count]


def _features(extractor: features.Extractor, images: np.ndarray) -> np.ndarray:
    return np.concatenate([extractor(images[start : start + _CHUNK]) for start in range(0, len(images), _CHUNK)])


def _frechet(a: np.ndarray, b: np.ndarray) -> float:
    moments = Moments(), Moments()
    for one, values in zip(moments, (a, b)):
        one.add(values)
    return frechet_distance(*moments)
