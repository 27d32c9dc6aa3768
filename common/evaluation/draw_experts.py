"""Figures of a mixture's experts: what each samples and contributes, and which images it has."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from common.data.dataset import Dataset
from common.evaluation.encode import RECONSTRUCTIONS, evaluation_seed, sample_split, to_inputs
from common.evaluation.experts import mixing_weights, weight_tables
from common.evaluation.figures import generated
from common.evaluation.figures.tables import DPI, heatmap, image_table
from common.models.system import System

_MAX_LEVELS = 40  # Rows of a heat map.
_DRAW = 0x45585053  # Number of the samples' draw; no row of a traversal has it.


def sample_rows(system: System, count: int, seed: int) -> np.ndarray:
    """Samples of each expert alone, and then of the mixture, from the same codes: images [K + 1, count, h, w, c]."""
    latents = generated.sample(system, count, seed, _DRAW)
    alone = np.eye(system.config.latent.categories, dtype=np.float32)
    rows = [latents._replace(category=np.tile(one, (count, 1))) for one in alone] + [latents]
    images = generated.generate_mixed(system, generated.concatenate(rows), seed)
    return images.reshape(len(rows), count, *images.shape[1:])


def contribution_rows(system: System, real: np.ndarray, seed: int) -> np.ndarray:
    """Images, their reconstructions without and with the mask, and each expert's contribution: [3 + K, B, h, w, c].

    Args:
        system: one with "experts".
        real: a mixed batch, uint8 [B, h, w, c].
        seed: chooses noise and masks.
    """
    inputs, own = to_inputs(real, system.config.scaling), evaluation_seed(seed, RECONSTRUCTIONS)
    whole = [inputs, system.reconstruct(inputs, own), system.reconstruct_unmasked(inputs, own)]
    return np.concatenate([np.stack([one.numpy() for one in whole]), system.contributions(inputs, own).numpy()])


def expert_figures(
    system: System,
    dataset: Dataset,
    real: np.ndarray,
    *,
    count: int,
    images: int,
    seed: int,
    title: str,
    to_uint8,
    dpi: int = DPI,
) -> Iterator[tuple[str, Image.Image, dict[str, Any]]]:
    """(name of the file without ending, picture, what it shows) of each figure.

    Args:
        system: one with "experts", ready for inference.
        dataset: whose images the heat maps are over.
        real: a mixed batch of its images, uint8 [B, h, w, c].
        count: columns of the tables of images.
        images: how many images the heat maps are over, at most.
        seed: chooses images, samples and masks.
        title: for the lines above a figure; "{}" stands for what it shows.
        to_uint8: makes pixels of the system's images.
        dpi: dots per inch of the figures.
    """
    names = [f"expert {k + 1}" for k in range(system.config.latent.categories)]
    cells = to_uint8(contribution_rows(system, real, seed)[:, :count])
    rows = ["real", "reconstruction", "without mask", *names]
    picture = image_table(title.format("Contributions of the experts"), cells, rows, [""] * cells.shape[1], dpi=dpi)
    shows = "real images, reconstructions, and the part of each expert: the codes of the others are set to 0"
    yield "figure_expert_contributions", picture, {"shows": shows}
    cells = to_uint8(sample_rows(system, count, seed))
    picture = image_table(title.format("Samples of the experts"), cells, [*names, "mixture"], [""] * count, dpi=dpi)
    shows = "one row per expert alone, and the mixture with weights from the prior; one column per code"
    yield "figure_expert_samples", picture, {"shows": shows}
    split = sample_split(dataset.test or dataset.train, images, seed)
    for factor, table in weight_tables(mixing_weights(system, split.images), dataset, split).items():
        if len(table) <= _MAX_LEVELS:
            title_of = title.format(f"Mean weight of each expert by {factor}")
            levels = [str(level) for level in range(len(table))]
            picture = heatmap(title_of, table, levels, names, ylabel=factor, xlabel="mean mixing weight", dpi=dpi)
            facts = {"shows": f"mean mixing weights of the images of each {factor}", "images": len(split)}
            yield f"figure_expert_weights_{factor}", picture, facts
