"""Every system is evaluated, drawn and sampled; what it lacks is skipped with a reason."""

import dataclasses
import json

import numpy as np
import pytest

from common.data.dataset import Dataset, Factor, Split
from common.errors import UserError
from common.evaluation.draw import draw_figures
from common.evaluation.evaluate import evaluate
from common.evaluation.report.write import write_report
from common.evaluation.sample import sample
from common.evaluation_options import QUICK_EVALUATION, QUICK_FIGURES
from common.models import registry
from common.nn.layers import plain
from common.sample_options import SampleOptions
from helpers.page import Page
from helpers.systems import EVERY, make_config


@pytest.fixture(scope="module", params=EVERY)
def system(request):
    config = make_config(**EVERY[request.param])
    if hasattr(config.hyper, "width"):
        config = dataclasses.replace(config, hyper=dataclasses.replace(config.hyper, width=0.125))
    return registry.build(config, training=False)


@pytest.fixture(scope="module")
def dataset():
    """Noise of 28 pixels, with two factors, one of them the class, and a test split."""
    random = np.random.RandomState(0)
    splits = [
        Split(random.randint(0, 256, (40, 28, 28, 1)).astype(np.uint8), random.randint(0, 3, (40, 2))) for _ in range(2)
    ]
    return Dataset("noise", *splits, (Factor("left", (0, 1, 2)), Factor("right", (0, 1, 2))), "left")


def test_evaluation_measures_what_the_system_has(system, dataset, tmp_path):
    result = evaluate(system, dataset, tmp_path, "some/checkpoint-0", QUICK_EVALUATION)
    assert json.loads((tmp_path / "metrics-quick.json").read_text()) == result and result["quick"]
    metrics, skipped = result["metrics"], result["skipped"]
    assert all(np.isfinite(value) for value in metrics.values()) and not metrics.keys() & skipped.keys()
    categories = {"accuracy", "accuracy_moving_statistics", "accuracy_standing_statistics", "category_agreement"}
    has_category, generates = system.config.latent.categories > 0, system.can("sample")
    assert (categories <= metrics.keys()) == has_category
    assert ("category_purity" in metrics) == (has_category and generates)
    assert ("fid_classifier" in metrics) == generates
    assert ("reconstruction_error_per_value" in metrics) == system.can("reconstruct")
    assert ("log_likelihood_bound" in metrics) == system.can("infer_noise")
    assert {"factor_vae", "mig", "sap"} <= metrics.keys()


def test_figures_show_what_the_system_has(system, dataset, tmp_path):
    paths = {path.name for path in draw_figures(system, dataset, tmp_path, "some/checkpoint-0", QUICK_FIGURES)}
    assert paths == {path.name for path in tmp_path.iterdir()}
    spec, generates = system.config.latent, system.can("sample")
    assert ("figure_class_grid.png" in paths) == (generates and spec.categories > 0)
    assert ("figure_traversal_c0.png" in paths) == (generates and spec.continuous > 0)
    assert ("figure_reconstructions.png" in paths) == system.can("reconstruct")
    assert "figure_mutual_information.png" in paths
    skipped = json.loads((tmp_path / "figures.json").read_text())["skipped"]
    assert ("class grid" in skipped) == ("figure_class_grid.png" not in paths)


def test_saved_networks_have_only_keras_own_layers_but_two(system):
    """docs/api.md names the two."""
    layers = {
        name: {type(layer).__module__ for layer in plain(network)._flatten_layers()}
        for name, network in system.networks.items()
    }
    ours = {name for name, modules in layers.items() if any(module.startswith("common.") for module in modules)}
    assert ours == {"infocatvae": {"encoder"}, "mixture": {"mask"}}.get(system.config.model, set())


def test_a_report_shows_what_the_system_has(system, dataset, tmp_path):
    path = write_report(system, dataset, tmp_path, str(tmp_path), QUICK_FIGURES)
    page, latent, generates = Page(path.read_text(encoding="utf-8")), system.config.latent, system.can("sample")
    choices = [one.get("name", "slider") for one in page.all("input")]
    assert choices.count("category") == (latent.categories if generates else 0)
    assert choices.count("sample") == generates and choices.count("slider") == (generates and latent.continuous > 0)
    for lacks, why in (
        (not generates, "cannot sample"),
        (generates and not latent.categories, "has no category code"),
        (not system.can("reconstruct"), "cannot reconstruct"),
    ):
        assert (f"Not shown: {registry.title_of(system.config)} {why}." in page.text) == lacks
    assert ("Choose a category" in page.text) == bool(generates and latent.categories)
    assert "Not shown: there is no log.csv." in page.text and len(page.all("section")) == 9


def test_samples_are_images_of_given_latents(system, tmp_path):
    spec, random = system.config.latent, np.random.RandomState(0)
    arrays = {"z": spec.noise, "d": spec.categories, "c": spec.continuous}
    np.savez(tmp_path / "latents.npz", **{name: random.uniform(-1, 1, (4, n)) for name, n in arrays.items() if n})
    options = SampleOptions(latents=tmp_path / "latents.npz", out=tmp_path / "images.npz")
    arguments = system, "nowhere", options
    if not system.can("sample"):
        with pytest.raises(UserError, match="cannot sample"):
            sample(*arguments)
        return
    sample(*arguments)
    with np.load(tmp_path / "images.npz") as written:
        assert written["G"].shape == (4, *system.config.image_shape)
