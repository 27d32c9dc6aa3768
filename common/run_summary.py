"""The last lines that training prints."""

import pathlib
import sys

from common.config import Config
from common.options import RunFolders
from common.run_folders import script_of
from common.training.duration import duration

_HEADLINES = {  # Measure -> (what it is, which way is better, the paper's number by data set).
    "accuracy": ("accuracy of the categories on test images", "higher is better", {"mnist": 0.9542}),
    "factor_vae": ("FactorVAE score", "higher is better", {}),
    "fid_classifier": ("FID in a small classifier's features", "lower is better", {}),
    "reconstruction_error_per_value": ("squared error of a reconstructed pixel", "lower is better", {}),
}


def closing_lines(config: Config, folders: RunFolders, metrics: dict[str, float], seconds: float) -> list[str]:
    """Return the last lines of a run: its length, what came out, what to look at, and what to do next."""
    from common.evaluation.report.write import REPORT_FILE

    epochs = "1 epoch" if config.epochs == 1 else f"{config.epochs} epochs"
    lines = [f"Finished {epochs} after {duration(seconds)}."]
    for name in [name for name in _HEADLINES if name in metrics][:2]:
        what, better, paper = _HEADLINES[name]
        other = f"; the paper's: {paper[config.dataset]:.4g}" if config.dataset in paper else ""
        lines.append(f"{name} {metrics[name]:.4g}: {what} ({better}{other})")
    pictures = [folders.results / name for name in ("figure_class_grid.png", "class_grid.png")]
    picture = next((path for path in pictures if path.is_file()), folders.results)
    script = f"{script_of(config.name)}.py"
    page = folders.results / REPORT_FILE
    look = f"Look at {picture}" + (f", or open {page} in a browser." if page.is_file() else ".")
    more = [f"More: python {script} figures --help, python {script} evaluate --help"]
    return [*lines, look, *(more if pathlib.Path(sys.argv[0]).name == script else [])]
