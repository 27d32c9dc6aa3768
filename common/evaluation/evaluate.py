"""The command `evaluate`: all applicable measures of a trained system, into metrics.json."""

import dataclasses
import logging
import pathlib

import numpy as np

from common.config import BATCH_NORMS
from common.data.dataset import Dataset, Split
from common.evaluation import clustering, disentanglement, distances, experts, features, reconstruction
from common.evaluation.encode import (
    Encoded,
    choose,
    encode,
    encode_split,
    generate,
    lacks,
    reconstruct,
    sample_indices,
    sample_split,
)
from common.evaluation.findings import Findings, Progress
from common.evaluation.metrics import classification, factor_vae
from common.evaluation.metrics.codes import Codes
from common.evaluation.statistics import Statistics
from common.evaluation_options import EvaluationSettings
from common.io.atomic import write_json
from common.models import registry
from common.models.system import System
from common.options import METRICS_FILE, QUICK_METRICS_FILE
from common.run_json import provenance

logger = logging.getLogger(__name__)


def evaluate(
    system: System,
    dataset: Dataset,
    folder: pathlib.Path,
    checkpoint: str,
    settings: EvaluationSettings | None = None,
    *,
    trained_on: str | None = None,
    statistics: Statistics | None = None,
) -> dict:
    """Measure everything that system and data allow, write it to `folder`, and return what the file holds.

    The file is metrics.json, or metrics-quick.json with `settings.quick`. Its "metrics" are numbers by name, "tables"
    what they come from, "sizes" the numbers of images behind them, and "skipped" says why a metric is missing.

    Args:
        system: at the weights of `checkpoint`, with the moving averages of training.
        dataset: with a test split if there is one.
        folder: where to write; it exists.
        checkpoint: its path, for the file.
        settings: sample sizes; by default full ones.
        trained_on: the data that it was trained on, for the file.
        statistics: the copies of `system` for inference, if there are some already.

    Raises:
        UserError: the InceptionV3 weights file that `settings` names is invalid.
    """
    settings = settings or EvaluationSettings()
    findings = Evaluation(dataset, settings, statistics or Statistics(system, dataset)).measure()
    weights = settings.inception_weights
    result = {
        **provenance(system.config, dataset.source),
        "trained_on": trained_on,
        "checkpoint": checkpoint,
        "step": int(system.step.numpy()),
        "quick": settings.quick,
        "settings": {**dataclasses.asdict(settings), "inception_weights": weights and str(weights)},
        **dataclasses.asdict(findings),
    }
    path = folder / (QUICK_METRICS_FILE if settings.quick else METRICS_FILE)
    write_json(result, path)
    small = ", at small sizes: for numbers to report, run the command evaluate" if settings.quick else ""
    logger.info("Wrote %s%s", path, small)
    return result


class Evaluation:
    """One evaluation, family by family. Each split is encoded once per kind of batch-norm statistics.

    Args:
        dataset: the images, with a test split, labels and factors if it has any.
        settings: sample sizes.
        statistics: the copies of the system.
    """

    def __init__(self, dataset: Dataset, settings: EvaluationSettings, statistics: Statistics):
        self.dataset, self.settings, self.statistics = dataset, settings, statistics
        self.system, self.findings = statistics.under(), Findings()
        side = self.system.config.image_shape[0]
        self.limit, self.num_samples = settings.images_of(side), settings.samples_of(side)
        self.no_classes = clustering.lacks_classes(dataset)
        known = dataset.factors and dataset.train.factors is not None and len(dataset.train) > 1
        self.no_classifier = None if known else "fewer than two training images have a known class or known factors"
        self.no_category = lacks(self.system, "encode", "category")

    def measure(self) -> Findings:
        """Measure all families."""
        classified = 0 if self.no_classifier else min(self.settings.classifier_images, len(self.dataset.train))
        encoded = 3 * min(self.limit or len(self.dataset.train), len(self.dataset.train))
        if len(self.dataset.factors) > 1:
            encoded += (self.settings.votes or 500) * (self.settings.vote_images or 100)
        families = {  # With what each costs, roughly, in images that pass a network; tracing costs as much as 2,000.
            "features": (self.prepare_features, 2 * classified),
            "codes": (self.measure_codes, 2000 + encoded),
            "reconstruction": (self.measure_reconstructions, 2000 + 3 * self.num_samples),
            "generated images": (self.measure_samples, 2000 + 6 * self.num_samples),
        }
        if self.system.can("experts"):
            families["experts"] = (self.measure_experts, 2000 + 6 * self.num_samples)
        progress = Progress("Evaluating", {name: cost for name, (_, cost) in families.items()})
        for name, (measure, _) in families.items():
            progress.start(name)
            measure()
        for why in dict.fromkeys(self.findings.skipped.values()):
            names = (name for name, reason in self.findings.skipped.items() if reason == why)
            logger.info("  without %s: %s", ", ".join(names), why)
        return self.findings

    def prepare_features(self) -> None:
        """Open or train the feature extractors; first, since a mistake here should not come after an hour."""
        scaling, settings = self.system.config.scaling, self.settings
        self.extractors, self.classifier = {}, None
        if settings.inception_weights is None:
            self.findings.skip("no InceptionV3 weights given (--inception-weights)", *distances.names("keras"))
        else:
            self.extractors["keras"] = features.inception(scaling, settings.inception_weights)
        if self.no_classes:
            self.findings.skip(self.no_classes, clustering.PURITY)
        if self.no_classifier:
            self.findings.skip(self.no_classifier, *distances.names("classifier"))
            return
        count = min(settings.classifier_images, len(self.dataset.train))
        self.classifier = features.small_classifier(self.dataset, scaling, settings.seed, count)
        self.extractors["classifier"] = self.classifier.features
        self.findings.add({"classifier_accuracy": self.classifier.accuracy})
        self.findings.sizes["classifier_train"] = count

    def measure_codes(self) -> None:
        """Encode both splits, and measure categories and disentanglement."""
        dataset, seed = self.dataset, self.settings.seed
        no_accuracy = self.no_category or self.no_classes
        no_factors = lacks(self.system, "encode")
        if len(dataset.factors) < 2:
            no_factors = no_factors or "the data set has no factors of variation"
        factors = dataset.train.factors
        plan = None
        if not no_factors and factors is not None:
            with self.findings.leaving_out("factor_vae"):
                plan = disentanglement.factor_vae_plan(factors, self.settings)
        fit = np.zeros(0, np.int64) if no_accuracy else sample_indices(dataset.train, self.limit, seed)
        most = min(self.limit or disentanglement.MIG_IMAGES, disentanglement.MIG_IMAGES)
        mig = np.zeros(0, np.int64) if no_factors else sample_indices(dataset.train, most, seed)
        wanted = np.unique(np.concatenate([fit, mig, *([] if plan is None else [plan.images])]))
        train = encode_split(self.system, dataset.train, wanted) if len(wanted) else None
        if self.no_category:
            self.findings.skip(self.no_category, clustering.AGREEMENT)
        else:
            test = sample_split(dataset.test or dataset.train, self.limit, seed)
            codes = encode(self.system, test.images)
            self.findings.add({clustering.AGREEMENT: clustering.category_agreement(self.system, test, codes, seed)})
            self.findings.sizes[clustering.AGREEMENT] = len(test)
            if train and not no_accuracy:
                self.measure_accuracy(choose(dataset.train, fit), train.of(fit), test, codes)
        if no_accuracy:
            self.findings.skip(no_accuracy, *clustering.ACCURACY)
        if no_factors:
            self.findings.skip(no_factors, *disentanglement.NAMES)
        elif train:
            self.measure_disentanglement(train, mig, plan)

    def measure_accuracy(self, train: Split, train_codes: Codes, test: Split, test_codes: Codes) -> None:
        """The accuracies, under the run's own statistics and under the other kinds."""
        own = self.system.config.batch_norm
        self.findings.sizes |= {"accuracy_train": len(train), "accuracy_test": len(test)}
        for kind in sorted(BATCH_NORMS, key=lambda kind: kind != own):
            end = "" if kind == own else f"_{kind}_statistics"
            if end and not self.settings.other_statistics:
                break
            if end:
                other = self.statistics.under(kind, generates=False)
                train_codes, test_codes = encode(other, train.images), encode(other, test.images)
            fitted = clustering.category_counts(train_codes, self.dataset, train)
            scored = clustering.category_counts(test_codes, self.dataset, test)
            scores = clustering.accuracies(fitted, scored)
            self.findings.add({f"{name}{end}": value for name, value in scores.items()})
            labels = classification.majority_labels(fitted)
            self.findings.tables[f"category_labels{end}"] = labels.tolist()
            self.findings.tables[f"confusion{end}"] = classification.confusion(scored, labels).tolist()

    def measure_disentanglement(self, train: Encoded, mig: np.ndarray, plan: factor_vae.Plan | None) -> None:
        """The FactorVAE score of the images of `plan`, MIG and SAP of the images `mig`."""
        findings = self.findings
        if plan is None:
            if self.settings.factor_vae == "none":
                findings.skip("not asked for (--factor-vae none)", "factor_vae")
        else:
            codes = train.of(plan.images)
            findings.add(disentanglement.factor_vae_scores(plan, codes))
            findings.sizes |= {f"factor_vae_{name}": value for name, value in plan.sizes._asdict().items()}
            findings.sizes["factor_vae_images"] = len(plan.images)
            findings.tables["active_dimensions"] = factor_vae.active_dimensions(plan, codes).tolist()
        factors = choose(self.dataset.train, mig).factors
        if factors is None:
            raise ValueError("the training images have no factors")
        with findings.leaving_out("mig"):
            findings.add(disentanglement.mig_scores(train.of(mig), factors))
            findings.sizes["mig"] = len(factors)
        with findings.leaving_out("sap"):
            meanings, seed = self.dataset.factors, self.settings.seed
            scores, sizes = disentanglement.sap_scores(train.of(mig), factors, meanings, seed)
            findings.add(scores)
            findings.sizes |= sizes

    def measure_reconstructions(self) -> None:
        """The squared error and, if the system infers z too, the bound on the log-likelihood."""
        missing = lacks(self.system, "reconstruct")
        if missing:
            self.findings.skip(missing, *reconstruction.ERRORS, reconstruction.BOUND)
            return
        split = sample_split(self.dataset.test or self.dataset.train, self.num_samples, self.settings.seed)
        scores = reconstruction.reconstruction_scores(reconstruct(self.system, split.images, self.settings.seed))
        self.findings.add(scores)
        self.findings.sizes["reconstruction"] = len(split)
        if reconstruction.BOUND not in scores:
            title = registry.title_of(self.system.config)
            self.findings.skip(f"{title} does not infer all of z, d and c", reconstruction.BOUND)

    def measure_experts(self) -> None:
        """How the experts of a mixture share the test images, and the squared errors with and without the mask."""
        dataset, seed = self.dataset, self.settings.seed
        split = sample_split(dataset.test or dataset.train, self.num_samples, seed)
        weights = experts.mixing_weights(self.system, split.images)
        self.findings.add(experts.expert_scores(self.system, split.images, weights, seed))
        self.findings.sizes["experts"] = len(split)
        tables = experts.weight_tables(weights, dataset, split)
        self.findings.tables |= {f"expert_weights_{factor}": table.tolist() for factor, table in tables.items()}

    def measure_samples(self) -> None:
        """Generated images: their categories, and their distances from real ones."""
        dataset, findings, seed = self.dataset, self.findings, self.settings.seed
        names = [name for extractor in self.extractors for name in distances.names(extractor)]
        missing = lacks(self.system, "sample")
        if missing:
            findings.skip(missing, *clustering.GENERATED, *names)
            return
        pair = None
        with findings.leaving_out(*names):
            pair = distances.two_real_sets(dataset, self.num_samples, seed)
        images, categories = generate(self.system, len(pair[0]) if pair else self.num_samples, seed)
        findings.sizes["generated"] = len(images)
        if categories is None or self.no_category:
            findings.skip(self.no_category or "images have no category", *clustering.GENERATED)
        else:
            logits = None if self.no_classes or self.classifier is None else self.classifier.logits(images)
            findings.add(clustering.generated_scores(categories, encode(self.system, images), logits))
        for name, extract in self.extractors.items() if pair else ():
            scores, sizes = distances.distances(name, extract, *pair, images, seed=seed)
            findings.add(scores)
            findings.sizes |= sizes
