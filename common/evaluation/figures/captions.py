"""What figures say of the run that they show."""

from common.data import images
from common.data.load import module_of
from common.models import registry
from common.models.system import System
from common.options import SYNTHETIC

_LONGEST = 16  # Letters of a name in a label.


def caption(system: System, separator: str = ", ") -> str:
    """Return data set, system, seed and step of a run, as the line below the title of a figure has them."""
    config = system.config
    return separator.join([data_title(config.dataset, config.name), run_title(system, separator)])


def run_title(system: System, separator: str = ", ") -> str:
    """Return the system, seed and step of a run."""
    config = system.config
    return separator.join([registry.title_of(config), f"seed {config.seed}", f"step {int(system.step.numpy())}"])


def data_title(dataset: str, name: str) -> str:
    """Return the title of a data set, a module of `common.data`, in a run of that name. Raises UserError."""
    if dataset == images.NAME:
        return name.partition("-")[2] or name
    title = module_of(dataset).TITLE
    return f"synthetic {title}" if name.endswith(SYNTHETIC) else title


def short(name: str) -> str:
    """Return a name as it fits above a column."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 3]}..."
