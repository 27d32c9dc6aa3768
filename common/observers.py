"""What observes a run while it trains: scores and pictures, which training itself knows nothing of.

TensorFlow is imported only by the functions.
"""

from collections.abc import Callable
from typing import Any

from common.data.dataset import Dataset
from common.options import RunFolders


def observers_of(statistics: Any, dataset: Dataset, folders: RunFolders) -> Any:
    """Return what observes a run: scores, pictures, the plot of log.csv, and the networks to save at its end.

    Args:
        statistics: the `Statistics` of the system.
        dataset: the data.
        folders: of the run.
    """
    from common.evaluation.clustering import AGREEMENT, Scorer
    from common.evaluation.figures.captions import caption
    from common.evaluation.figures.curves import draw_log
    from common.training.train import Observers

    scorer, least = Scorer(statistics, dataset), getattr(statistics.system.config.hyper, "restart_below", 0.0)
    return Observers(
        scorer.names,
        scorer,
        _draw(statistics.system, dataset, folders),
        plot=lambda: draw_log(folders.results / "log.csv", folders.results / "losses.png", caption(statistics.system)),
        networks=statistics.networks,
        restart=(AGREEMENT, least) if least else None,
    )


def _draw(system: Any, dataset: Dataset, folders: RunFolders) -> Callable[[int], None] | None:
    """Return what draws the sample grids of a system, in the results of a run."""
    if not system.can("sample"):
        return None
    from common.evaluation.figures.generated import class_grid
    from common.evaluation.figures.image_files import save_grid

    side, rows = 8, 10  # Of the sample grids, as the original's; of the class grid.

    def draw(epoch: int) -> None:
        # Of the last batch, as the original; a smaller batch than the grid is filled up.
        latents = system.sample_latents(system.step - 1, max(system.config.batch_size, side * side))
        images = system.generate(latents).numpy()[: side * side]
        save_grid(images, side, side, folders.results / f"VAE{epoch}.jpg")
        if epoch >= 1:
            save_grid(dataset.train.take(0, side * side), side, side, folders.results / f"Real{epoch}.png")
        if system.config.latent.categories:
            grid, columns = class_grid(system, rows), system.config.latent.categories
            save_grid(grid, rows, columns, folders.results / "class_grid.png")

    return draw
