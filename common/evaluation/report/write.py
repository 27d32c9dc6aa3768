"""The command `report`: one HTML file that needs no network, no server and no other file."""

import base64
import hashlib
import html
import logging
import pathlib
import string

from common.data.dataset import Dataset
from common.errors import UserError
from common.evaluation.draw import require_codes
from common.evaluation.encode import lacks
from common.evaluation.findings import Progress
from common.evaluation.report import sections
from common.evaluation.report.explore import explorer
from common.evaluation.report.markup import element, join
from common.evaluation.report.saved import read_curves, read_measured, read_object
from common.evaluation.statistics import Statistics
from common.evaluation_options import FigureSettings
from common.io.atomic import atomic_write
from common.models import registry
from common.models.system import System
from common.options import RUN_FILE

REPORT_FILE = "report.html"
MAX_POSITIONS = 101  # Of a slider.
_FOLDER = pathlib.Path(__file__).parent
_EXPLORE = (
    "Choose {choices}, then move one code. A code moves alone: the noise z and the other codes stay "
    "those of the sample, which are rounded to the positions of the sliders. "
)
_CLASSES = "One column per category d, one row per sample of (z, c). Good: each column shows one class."
_MADE = "Real images, and what the generator makes of the codes that the encoder reads from them."
_SAY = "How much each code says about each factor of the data: 0 nothing, 1 everything."
_STATISTICS = {
    "moving": "the moving averages of training",
    "standing": "averages taken at the final weights, so an image does not depend on its batch",
}

logger = logging.getLogger(__name__)


def write_report(
    system: System,
    dataset: Dataset,
    results: pathlib.Path,
    checkpoint: str,
    settings: FigureSettings | None = None,
    *,
    statistics: Statistics | None = None,
    file: pathlib.Path | None = None,
) -> pathlib.Path:
    """Write a page that shows a run, and return its path. What cannot be shown is left out with the reason.

    With batch statistics an image would depend on its batch, so the pictures are then taken under standing statistics.

    Args:
        system: at the weights of `checkpoint`, with the moving averages of training.
        dataset: whose images are reconstructed and encoded.
        results: the folder whose log.csv and metrics.json are shown; either may be missing.
        checkpoint: its path, or that of a folder of networks; run.json is next to it.
        settings: what is drawn; by default everything at full sizes.
        statistics: the copies of `system` for inference, if there are some already.
        file: the file to write; by default report.html in `results`.

    Raises:
        UserError: `settings` asks for what cannot be shown.
    """
    settings, file = settings or FigureSettings(), file or results / REPORT_FILE
    require_codes(system, settings)
    if settings.traversal_steps > MAX_POSITIONS:
        raise UserError(f"--traversal-steps must be at most {MAX_POSITIONS} here, got {settings.traversal_steps}")
    progress = Progress("Reporting", {"statistics": 2.0, "codes": 2.0, "pictures": 1.0})
    progress.start("statistics")
    inference = (statistics or Statistics(system, dataset)).independent()
    kind = inference.config.batch_norm
    models = pathlib.Path(checkpoint) if pathlib.Path(checkpoint).is_dir() else pathlib.Path(checkpoint).parent
    step, saved = int(system.step.numpy()), read_object(models / RUN_FILE)
    epoch = system.config.steps_per_epoch or len(dataset.train) // system.config.batch_size
    log, measured = read_curves(results / "log.csv", step, epoch), read_measured(results, step)
    progress.start("codes")
    names = sections.category_names(measured, dataset, system.config, step)
    moved = lacks(system, "sample") or explorer(inference, settings, names)
    progress.start("pictures")
    norm = f"batch norm uses {_STATISTICS[kind]}"
    rows = [*_rows(system, dataset, saved, checkpoint), ("pictures", norm)]
    choices = "a category and a sample" if system.config.latent.categories else "a sample"
    page = {
        "explore": ("Move the codes", moved, f"{_EXPLORE.format(choices=choices)}In all pictures {norm}."),
        "classes": ("Categories", sections.class_grid(inference, settings), _CLASSES),
        "made": ("Reconstructions", sections.reconstructions(inference, dataset, settings), _MADE),
        "curves": ("Losses and scores", sections.curves(log), ""),
        "confusion": ("Confusion matrix", sections.confusion(measured, dataset), ""),
        "information": ("What the codes say", sections.mutual_information(inference, dataset, settings), _SAY),
        "metrics": ("Metrics", sections.metrics(measured, system.config, step), ""),
        "run": ("The run", sections.facts(system.config, saved, rows), ""),
        "files": ("Files", sections.files([results, models], file), ""),
    }
    text = _fill(system, dataset, settings, page)
    with atomic_write(file) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")  # File names may hold bytes that are no text.
    logger.info("Wrote %s (%.1f MB): open it in a browser", file, len(text) / 1e6)
    return file


def _rows(system: System, dataset: Dataset, saved: dict, checkpoint: str) -> list[tuple[str, str]]:
    """Return what is known of a run besides its configuration."""
    return [
        ("system", registry.title_of(system.config)),
        ("trained on", str(saved.get("data", "unknown"))),
        ("shown and measured with", dataset.source),
        ("seed", str(system.config.seed)),
        ("step", str(int(system.step.numpy()))),
        ("checkpoint", checkpoint),
    ]


def _fill(system: System, dataset: Dataset, settings: FigureSettings, page: dict[str, tuple[str, str, str]]) -> str:
    """Return the whole page: the template with its sections."""
    config, title = system.config, registry.title_of(system.config)
    summary = f"{title} after {int(system.step.numpy())} steps, seed {config.seed}. Data: {dataset.source}"
    intro = [element("p", summary)]
    if dataset.synthetic:
        intro.append(element("p", "This is synthetic data, drawn by the project itself.", class_="warning"))
    if settings.quick:
        short = "A quick report with few pictures: the command report makes a full one."
        intro.append(element("p", short, class_="warning"))
    links = (element("a", parts[0], href=f"#{name}") for name, parts in page.items())
    intro.append(element("nav", *links, aria_label="Sections"))
    style, script = ((_FOLDER / name).read_text(encoding="utf-8").strip() for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(f"\n{script}\n".encode()).digest()).decode()
    template = string.Template((_FOLDER / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=html.escape(config.name),
        intro=join(*intro),
        sections=join(*(sections.section(name, *parts) for name, parts in page.items())),
        style=style,
        script=script,
        script_hash=f"sha256-{digest}",
    )
