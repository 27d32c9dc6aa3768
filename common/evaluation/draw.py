"""The paper's figures, from a trained system, with captions; `figures.json` says what each picture shows and where it is from."""

import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from common.data.dataset import Dataset
from common.data.pipeline import scale
from common.errors import UserError
from common.evaluation.evaluate import codes_of, sample_split
from common.evaluation.figures.generated import (
    PROTOCOL_VALUES,
    categorical_traversal,
    class_grid,
    interpolation,
    original_traversal,
    traversal,
)
from common.evaluation.figures.image_files import save_animation, save_picture, to_uint8
from common.evaluation.figures.tables import heatmap, image_table
from common.evaluation.metrics import mutual_information
from common.io.atomic import write_json
from common.models.system import System
from common.options import FigureSettings
from common.runs import provenance

FIGURES_FILE = "figures.json"


class Trained(NamedTuple):
    """A system and the checkpoint that its weights are from."""

    system: System
    checkpoint: str


class Figure(NamedTuple):
    """A picture, or the frames of an animation, with its file's name and what it shows."""

    file: str
    picture: Image.Image | list[Image.Image]
    facts: dict


def draw_figures(
    system: System,
    dataset: Dataset,
    folder: pathlib.Path,
    checkpoint: str,
    settings: FigureSettings = FigureSettings(),
    also: Sequence[Trained] = (),
) -> list[pathlib.Path]:
    """Writes every figure, and figures.json, into `folder` and returns their paths.

    Args:
        system: at the weights of `checkpoint`.
        dataset: whose images are reconstructed and interpolated.
        folder: where to write; it exists.
        checkpoint: its path, for figures.json.
        settings: what is drawn.
        also: other systems for images of this shape, whose reconstructions are stacked below.

    Raises:
        UserError: `settings` names a continuous code that the system does not have.
    """
    count = system.config.latent.continuous
    if any(not 0 <= code < count for code in settings.codes or ()):
        raise UserError(
            f"--codes must be numbers from 0 to {count - 1}, of this run's {count} continuous codes; got {list(settings.codes)}"
        )
    paths, facts = [], {}
    for figure in _figures(system, dataset, settings, [Trained(system, checkpoint), *also]):
        paths.append(folder / figure.file)
        if isinstance(figure.picture, list):
            save_animation(figure.picture, paths[-1])
        else:
            save_picture(figure.picture, paths[-1])
        facts[figure.file] = figure.facts
        print(f"Drew {paths[-1]}", flush=True)
    paths.append(folder / FIGURES_FILE)
    write_json(
        {
            **provenance(system.config, dataset.source),
            "checkpoint": checkpoint,
            "step": int(system.step.numpy()),
            "seed": settings.seed,
            "figures": facts,
        },
        paths[-1],
    )
    return paths


def _figures(system: System, dataset: Dataset, settings: FigureSettings, stack: Sequence[Trained]) -> Iterator[Figure]:
    yield _class_figure(system, settings)
    for code in range(system.config.latent.continuous) if settings.codes is None else settings.codes:
        yield from _continuous(system, code, settings)
    yield from _categories(system, settings)
    real = mixed_images(dataset, system.config.batch_size, settings.seed)
    yield _reconstructions(real, dataset, settings, stack)
    yield _interpolations(system, real, dataset, settings)
    if len(dataset.factors) > 1:
        yield _information(system, dataset, settings)


def _title(what: str, system: System) -> str:
    return f"{what}: {named(system)}"


def named(system: System, separator: str = ", ") -> str:
    """What captions call a system: its name, its run's seed and its step."""
    return separator.join([system.name, f"seed {system.config.seed}", f"step {int(system.step.numpy())}"])


def _class_figure(system: System, settings: FigureSettings) -> Figure:
    categories = system.config.latent.categories
    images = class_grid(system, settings.rows, settings.seed)
    cells = to_uint8(images, system.config.scaling).reshape(settings.rows, categories, *images.shape[1:])
    picture = image_table(
        _title("Categories", system),
        cells,
        _labels(range(settings.rows)),
        _labels(range(categories)),
        "draw of (z, c)",
        "category d",
    )
    return Figure("figure_class_grid.png", picture, {"shows": "one column a category, one row a draw of (z, c)"})


def _continuous(system: System, code: int, settings: FigureSettings) -> Iterator[Figure]:
    what, across = f"Continuous code c{code}", f"value of c{code}"
    if settings.protocol:
        cells = to_uint8(original_traversal(system, code, settings.draws, settings.seed), system.config.scaling)
        picture = image_table(
            _title(f"{what}, the original's protocol", system),
            cells,
            _labels(settings.draws),
            _labels(PROTOCOL_VALUES),
            "draw",
            across,
        )
        yield Figure(
            f"figure_protocol_c{code}.png",
            picture,
            {"shows": f"c{code} set throughout each batch", "values": PROTOCOL_VALUES, "draws": settings.draws},
        )
    images = traversal(system, code, settings.values, settings.draws, settings.seed)
    yield from _strips(
        f"traversal_c{code}",
        what,
        images,
        _labels(settings.values),
        across,
        system,
        settings,
        {"shows": f"c{code} through its values, all else of each draw held", "values": settings.values},
    )


def _categories(system: System, settings: FigureSettings) -> Iterator[Figure]:
    between, categories = 1, system.config.latent.categories
    images = categorical_traversal(system, between, settings.draws, settings.seed)
    labels = [str(i // 2) if i % 2 == 0 else f"{i // 2} | {i // 2 + 1}" for i in range(images.shape[1])]
    yield from _strips(
        "traversal_categories",
        "From category to category",
        images,
        labels,
        "category d; between two, half of each",
        system,
        settings,
        {"shows": f"the way through all {categories} categories, (z, c) of each draw held"},
    )


def _strips(
    name: str,
    what: str,
    images: np.ndarray,
    labels: list[str],
    across: str,
    system: System,
    settings: FigureSettings,
    facts: dict,
) -> Iterator[Figure]:
    """A sheet of strips, images [draws, points, h, w, c], and an animation of the same images, there and back."""
    cells, draws, facts = (
        to_uint8(images, system.config.scaling),
        _labels(settings.draws),
        {**facts, "draws": settings.draws},
    )
    yield Figure(f"figure_{name}.png", image_table(_title(what, system), cells, draws, labels, "draw", across), facts)
    points = [*range(len(labels)), *range(len(labels) - 2, 0, -1)]
    yield Figure(
        f"figure_{name}.gif",
        [image_table(what, cells[None, :, point], [labels[point]], draws, "", "draw", room=labels) for point in points],
        facts,
    )


def mixed_images(dataset: Dataset, count: int, seed: int) -> np.ndarray:
    """`count` real images at random, from the test images where there are any: uint8 [count, h, w, c].

    Where they have classes, the first is of class 0, the next of class 1 and so on, so that the few that a figure shows show all.
    """
    split = sample_split(dataset.test or dataset.train, count, seed)
    order = np.random.RandomState(seed).permutation(len(split))
    labels = dataset.labels(split)
    if labels is not None:
        labels = labels[order]
        earlier = np.array([np.sum(labels[:i] == label) for i, label in enumerate(labels)])  # Of the same class.
        order = order[np.lexsort((labels, earlier))]
    return split.images[order]


def _reconstructions(real: np.ndarray, dataset: Dataset, settings: FigureSettings, stack: Sequence[Trained]) -> Figure:
    """The paper's figure 2: real images, and below them a row a system. All of the batch are reconstructed, the first ones are shown."""
    first, count = stack[0].system.config, min(settings.columns, len(real))
    rows = [to_uint8(scale(tf.constant(real), first.scaling).numpy(), first.scaling)]
    for system, _ in stack:
        images = system.reconstruct(
            scale(tf.constant(real), system.config.scaling), tf.constant([settings.seed, 0], tf.int32)
        )
        rows.append(to_uint8(images.numpy(), system.config.scaling))
    cells = np.stack([row[:count] for row in rows])
    labels = ["real", *(named(system, "\n") for system, _ in stack)]
    picture = image_table(f"Reconstructions: {_where(dataset)}", cells, labels, [""] * count)
    return Figure(
        "figure_reconstructions.png",
        picture,
        {
            "shows": "real images, and below them G(z, u ~ q(u|x)) of each system",
            "systems": [{"system": one.name, "checkpoint": path} for one, path in stack],
        },
    )


def _interpolations(system: System, real: np.ndarray, dataset: Dataset, settings: FigureSettings) -> Figure:
    pairs, points = min(settings.pairs, len(real) // 2), settings.columns
    inputs = scale(tf.constant(real), system.config.scaling)
    made = to_uint8(interpolation(system, inputs, pairs, points, settings.seed), system.config.scaling)
    ends = to_uint8(inputs.numpy(), system.config.scaling)[: 2 * pairs].reshape(pairs, 2, 1, *real.shape[1:])
    cells = np.concatenate([ends[:, 0], made, ends[:, 1]], axis=1)
    labels = ["real", *(f"{share:.2g}" for share in np.linspace(0, 1, points)), "real"]
    picture = image_table(
        _title("Between two real images", system),
        cells,
        _labels(range(pairs)),
        labels,
        "pair",
        "share of the right image's codes",
    )
    return Figure(
        "figure_interpolation.png",
        picture,
        {"shows": f"G on the way between the codes of two real images of {_where(dataset)}, z held"},
    )


def _information(system: System, dataset: Dataset, settings: FigureSettings) -> Figure:
    split = sample_split(dataset.test or dataset.train, settings.images, settings.seed)
    entropies = mutual_information.entropies(split.factors)
    varying = np.flatnonzero(entropies > 0)
    values = mutual_information.matrix(codes_of(system, split), split.factors[:, varying]) / entropies[varying]
    picture = heatmap(
        _title("What each code says of each factor", system),
        values.T,
        [dataset.factors[i].name for i in varying],
        [*(f"c{i}" for i in range(system.config.latent.continuous)), "d"],
        "factor",
        "code; mutual information as a share of the factor's entropy",
    )
    return Figure(
        "figure_mutual_information.png",
        picture,
        {
            "shows": f"mutual information of codes and factors over {len(split)} {_where(dataset)}, 20 bins",
            "images": len(split),
        },
    )


def _where(dataset: Dataset) -> str:
    return f"{'test' if dataset.test else 'training'} images"


def _labels(values: Sequence[float]) -> list[str]:
    return [f"{value:g}" for value in values]
