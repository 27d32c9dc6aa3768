"""The command `figures`: the paper's figures with captions; `figures.json` says what each shows and its source."""

import functools
import logging
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from common.data.dataset import Dataset
from common.data.pixels import RANGES
from common.errors import UserError
from common.evaluation.clustering import class_names
from common.evaluation.draw_experts import expert_figures
from common.evaluation.encode import RECONSTRUCTIONS, evaluation_seed, lacks, mixed_images, to_inputs
from common.evaluation.figures import generated
from common.evaluation.figures.captions import caption, run_title, short
from common.evaluation.figures.image_files import save_picture
from common.evaluation.figures.tables import heatmap, image_table
from common.evaluation.findings import Progress
from common.evaluation.information import information
from common.evaluation.statistics import Statistics
from common.evaluation_options import FigureSettings
from common.io.atomic import write_json
from common.models.system import System
from common.options import FIGURES_FILE
from common.run_json import provenance

_MAX_TRAVERSED = 32  # Codes that are traversed unless --codes names others; a mixture has 256.
_DEAD = "Nothing changes from left to right: the generator ignores this code."
_CANCELLED = (
    "Nothing changes from left to right: the code is the same in a whole batch,\n"
    "and batch norm removes what all images of a batch have in common."
)

logger = logging.getLogger(__name__)


class Trained(NamedTuple):
    """A system and the checkpoint that its weights are from."""

    system: System
    checkpoint: str


class Figure(NamedTuple):
    """A picture, or the frames of an animation, with the name of its file without ending, and what it shows."""

    name: str
    picture: Image.Image | list[Image.Image]
    facts: dict


def draw_figures(
    system: System,
    dataset: Dataset,
    folder: pathlib.Path,
    checkpoint: str,
    settings: FigureSettings | None = None,
    *,
    also: Sequence[Trained] = (),
    statistics: Statistics | None = None,
) -> list[pathlib.Path]:
    """Draw every figure that system and data allow into `folder`, and figures.json; return their paths.

    Args:
        system: at the weights of `checkpoint`, with the moving averages of training.
        dataset: whose images are reconstructed and interpolated.
        folder: where to write; it exists.
        checkpoint: its path, for figures.json.
        settings: what is drawn; by default everything at full sizes.
        also: other systems for images of this shape; each adds a row of reconstructions.
        statistics: the copies of `system` for inference, if there are some already.

    Raises:
        UserError: `settings` asks for codes that the system does not have.
    """
    settings = settings or FigureSettings()
    require_codes(system, settings)
    statistics = statistics or Statistics(system, dataset)
    inference = statistics.under()
    independent = statistics.independent() if inference.can("sample") else inference
    others = [Trained(Statistics(one, dataset).under(), path) for one, path in also]
    figures = Figures(dataset, settings, [Trained(inference, checkpoint), *others], independent)
    jobs, skipped = figures.jobs()
    progress = Progress("Drawing", dict.fromkeys(jobs, 1.0))
    paths, facts = [], {}
    for name, job in jobs.items():
        progress.start(name)
        for figure in job():
            animated = isinstance(figure.picture, list)
            paths.append(folder / f"{figure.name}.{'gif' if animated else settings.format}")
            save_picture(figure.picture, paths[-1], dpi=settings.dpi)
            facts[paths[-1].name] = figure.facts
    paths.append(folder / FIGURES_FILE)
    head = {**provenance(system.config, dataset.source), "checkpoint": checkpoint, "step": int(system.step.numpy())}
    write_json(
        {**head, "seed": settings.seed, "quick": settings.quick, "figures": facts, "skipped": skipped}, paths[-1]
    )
    logger.info("Drew %d figures in %s", len(facts), folder)
    return paths


def require_codes(system: System, settings: FigureSettings) -> None:
    """Raise UserError if `settings` asks for codes that the system does not have."""
    count = system.config.latent.continuous
    if any(not 0 <= code < count for code in settings.codes or ()):
        got = " ".join(map(str, settings.codes or ()))
        raise UserError(f"--codes must be below {count}, the number of this run's continuous codes, got {got}")
    why = lacks(system, "category") if settings.by_category else None
    if why:
        raise UserError(f"--by-category needs categories, and {why}: leave it out")


class Figures:
    """The figures of one system.

    Args:
        dataset: the real images.
        settings: what is drawn.
        systems: the system, and others that add rows of reconstructions; all ready for inference.
        independent: the system under statistics that make an image independent of its batch, for traversals,
            interpolations and samples of experts; by default the first of `systems`.
    """

    def __init__(
        self, dataset: Dataset, settings: FigureSettings, systems: Sequence[Trained], independent: System | None = None
    ):
        self.dataset, self.settings, self.systems = dataset, settings, systems
        self.system = systems[0].system
        self.independent = independent or self.system
        self.images_are = f"{'test' if dataset.test else 'training'} images"

    def jobs(self) -> tuple[dict[str, Callable[[], Iterator[Figure]]], dict[str, str]]:
        """Return the figures that can be drawn, by name, and why others cannot."""
        wanted = {
            "class grid": (self.class_grid, ("sample", "category")),
            "category traversal": (self.categories, ("sample", "category")),
            **{f"code c{code}": (lambda code=code: self.continuous(code), ("sample",)) for code in self.codes()},
            "reconstructions": (self.reconstructions, ("reconstruct",)),
            "interpolation": (self.interpolation, ("encode", "sample")),
            "mutual information": (self.information, ("encode",)),
            "experts": (self.experts, ("experts",)),
        }
        skipped = {name: why for name, (_, needs) in wanted.items() if (why := lacks(self.system, *needs))}
        images = self.dataset.test or self.dataset.train
        if len(images) < 2:
            skipped["interpolation"] = f"takes two {self.images_are}"
        if images.factors is not None and not any(len(np.unique(column)) > 1 for column in images.factors.T):
            skipped["mutual information"] = f"no factor has two levels among the {self.images_are}"
        if not self.codes():
            skipped["traversals"] = lacks(self.system, "continuous") or "no code is wanted"
        if len(self.dataset.factors) < 2:
            skipped["mutual information"] = "the data set has no factors of variation"
        return {name: job for name, (job, _) in wanted.items() if name not in skipped}, skipped

    def codes(self) -> Sequence[int]:
        """Return the continuous codes to traverse."""
        if self.settings.codes is not None:
            return self.settings.codes
        count = self.system.config.latent.continuous
        return range(min(count, 1 if self.settings.quick else _MAX_TRAVERSED))

    def class_grid(self) -> Iterator[Figure]:
        """One column per category."""
        rows, categories = self.settings.grid_rows, self.system.config.latent.categories
        images = generated.class_grid(self.system, rows, self.settings.seed)
        cells = self.pixels(images).reshape(rows, categories, *images.shape[1:])
        facts = {"shows": "one column per category, one row per sample of (z, c)", "classes": self.classes}
        xlabel = "category d" + ("; below it, the class of most of its images" if self.classes else "")
        labels = _labels(range(rows)), self.category_labels()
        picture = self.table("Categories", cells, *labels, ylabel="sample of (z, c)", xlabel=xlabel)
        yield Figure("figure_class_grid", picture, facts)

    @functools.cached_property
    def classes(self) -> list[str] | None:
        """Return the class that most images of each category have, or None if that is unknown."""
        return class_names(self.system, self.dataset, self.settings.information_images, self.settings.seed)

    def category_labels(self) -> list[str]:
        """Return the number of each category, and its class if that is known."""
        numbers = _labels(range(self.system.config.latent.categories))
        if self.classes is None:
            return numbers
        return [f"{number}\n{short(name)}" for number, name in zip(numbers, self.classes, strict=True)]

    def continuous(self, code: int) -> Iterator[Figure]:
        """Traversals of one continuous code."""
        settings, title, texts = self.settings, f"Continuous code c{code}", {"xlabel": f"value of c{code}"}
        if settings.original_traversals:
            values = generated.ORIGINAL_VALUES
            images = generated.original_traversal(self.system, code, settings.draws, settings.seed)
            facts = {"shows": f"c{code} set throughout each batch", "values": values}
            yield self.sheet(f"original_c{code}", f"{title}, as the original code", images, _labels(values),
                             facts=facts, still=_CANCELLED, **texts)  # fmt: skip
        facts = {"shows": f"c{code} through its values, all other latents of a row held", "values": settings.values}
        facts["batch_norm"] = self.independent.config.batch_norm
        if settings.by_category:
            images = generated.traversal_by_category(self.independent, code, settings.values, settings.seed)
            facts["shows"] = f"c{code} through its values in each category, all other latents held"
            texts |= {"ylabel": "category d", "rows": self.category_labels()}
        else:
            images = generated.traversal(self.independent, code, settings.values, settings.draws, settings.seed)
        yield from self.strips(f"traversal_c{code}", title, images, _labels(settings.values), facts=facts, **texts)

    def categories(self) -> Iterator[Figure]:
        """Yield a traversal of all categories."""
        settings = self.settings
        images = generated.categorical_traversal(self.independent, 1, settings.draws, settings.seed)
        labels = [str(i // 2) if i % 2 == 0 else f"{i // 2} | {i // 2 + 1}" for i in range(images.shape[1])]
        facts = {"shows": "all categories in order and half-way points, (z, c) of a row held"}
        facts["batch_norm"] = self.independent.config.batch_norm
        xlabel = "category d; between two, half of each"
        yield from self.strips(
            "traversal_categories", "From category to category", images, labels, xlabel=xlabel, facts=facts
        )

    def strips(self, name: str, title: str, images: np.ndarray, labels: list[str], **texts) -> Iterator[Figure]:
        """Yield a sheet of strips, images [rows, points, h, w, c], and an animation of them, there and back."""
        sheet = self.sheet(name, title, images, labels, **texts)
        yield sheet
        cells, rows = self.pixels(images), texts.get("rows") or _labels(range(len(images)))
        order = [*range(len(labels)), *range(len(labels) - 2, 0, -1)]
        frame = {"xlabel": texts.get("ylabel", "sample"), "reserve": labels, "note": sheet.facts.get("note", "")}
        frames = [self.table(title, cells[None, :, i], [labels[i]], rows, **frame) for i in order]
        yield Figure(sheet.name, frames, sheet.facts)

    def sheet(
        self, name: str, title: str, images: np.ndarray, labels: list[str], *,
        facts: dict, xlabel: str, ylabel: str = "sample", rows: list[str] | None = None, still: str = _DEAD,
    ) -> Figure:  # fmt: skip
        """Return strips, images [rows, points, h, w, c], as one picture; it says `still` if no strip changes."""
        cells, rows = self.pixels(images), rows or _labels(range(len(images)))
        note = still if np.ptp(cells.astype(int), axis=1).max() <= 1 else ""
        picture = self.table(title, cells, rows, labels, ylabel=ylabel, xlabel=xlabel, note=note)
        return Figure(f"figure_{name}", picture, {**facts, "rows": len(rows), **({"note": note} if note else {})})

    def reconstructions(self) -> Iterator[Figure]:
        """Yield the paper's figure 2: real images, and one row per system. Of a batch, the first images are shown."""
        rows, shown, seed = [], [], evaluation_seed(self.settings.seed, RECONSTRUCTIONS)
        real = self.real_images()
        for system, checkpoint in self.systems:
            if system.can("reconstruct"):
                images = system.reconstruct(to_inputs(real, system.config.scaling), seed).numpy()
                rows.append(RANGES[system.config.scaling].to_uint8(images))
                shown.append(Trained(system, checkpoint))
        count = min(self.settings.num_reconstructions, len(real))
        cells = np.stack([row[:count] for row in (self.shown(real), *rows)])
        labels = ["real", *(run_title(system, "\n") for system, _ in shown)]
        picture = self.table(f"Reconstructions of {self.images_are}", cells, labels, [""] * count)
        systems = [{"system": system.name, "checkpoint": checkpoint} for system, checkpoint in shown]
        facts = {"shows": "real images, and their reconstructions by each system", "systems": systems}
        yield Figure("figure_reconstructions", picture, facts)

    def interpolation(self) -> Iterator[Figure]:
        """Between pairs of real images."""
        real, points = self.real_images(), self.settings.interpolation_steps
        pairs = min(self.settings.interpolation_pairs, len(real) // 2)
        inputs = to_inputs(real[: 2 * pairs], self.system.config.scaling)
        made = self.pixels(generated.interpolation(self.independent, inputs, pairs, points, self.settings.seed))
        ends = self.shown(real)[: 2 * pairs].reshape(pairs, 2, 1, *real.shape[1:])
        cells = np.concatenate([ends[:, 0], made, ends[:, 1]], axis=1)
        labels = ["real", *_labels(np.linspace(0, 1, points)), "real"]
        texts = {"ylabel": "pair", "xlabel": "weight of the right image's codes"}
        picture = self.table("Between two real images", cells, _labels(range(pairs)), labels, **texts)
        facts = {"shows": f"images between the codes of two real {self.images_are}"}
        facts["batch_norm"] = self.independent.config.batch_norm
        yield Figure("figure_interpolation", picture, facts)

    def information(self) -> Iterator[Figure]:
        """Yield the mutual information of every code with every factor."""
        settings = self.settings
        if (self.dataset.test or self.dataset.train).factors is None:
            return
        found = information(self.system, self.dataset, settings.information_images, settings.seed)
        if not found.factors:
            return
        picture = heatmap(
            self.title("Mutual information of codes and factors"),
            found.values,
            found.factors,
            found.codes,
            ylabel="factor",
            xlabel="code; mutual information as a fraction of the factor's entropy",
            dpi=settings.dpi,
        )
        shows = f"mutual information of codes and factors over {found.images} {self.images_are}, 20 bins"
        yield Figure("figure_mutual_information", picture, {"shows": shows, "images": found.images})

    def experts(self) -> Iterator[Figure]:
        """Yield what each expert of a mixture contributes, samples and stands for."""
        settings = self.settings
        sizes = {"count": settings.num_reconstructions, "images": settings.information_images, "seed": settings.seed}
        drawing = {"title": self.title("{}"), "to_uint8": self.pixels, "dpi": settings.dpi}
        for figure in expert_figures(
            self.system, self.independent, self.dataset, self.real_images(), **sizes, **drawing
        ):
            yield Figure(*figure)

    def real_images(self) -> np.ndarray:
        """Return a mixed batch of stored images."""
        return mixed_images(self.dataset, self.system.config.batch_size, self.settings.seed)

    def shown(self, real: np.ndarray) -> np.ndarray:
        """Stored pixels as they are shown."""
        return self.pixels(to_inputs(real, self.system.config.scaling).numpy())

    def pixels(self, images: np.ndarray) -> np.ndarray:
        """Return the system's images as uint8."""
        return RANGES[self.system.config.scaling].to_uint8(images)

    def title(self, what: str) -> str:
        """Return the lines above a figure."""
        return f"{what}\n{caption(self.system)}"

    def table(self, title: str, cells: np.ndarray, rows: Sequence[str], columns: Sequence[str], **texts) -> Image.Image:
        """Return cells in a table, as `image_table` draws it, with the lines of `title` above."""
        return image_table(self.title(title), cells, rows, columns, dpi=self.settings.dpi, **texts)


def _labels(values: Iterable[float]) -> list[str]:
    """Return numbers as labels of three digits."""
    return [f"{value:.3g}" for value in values]
