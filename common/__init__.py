"""InfoVAEGAN in TensorFlow 2: everything that the scripts share, and a library (docs/api.md)."""

import importlib
import os

from common import requirements

requirements.check()

TYPE_CHECKING = False  # A type checker takes it for True. This file must be readable by old versions of Python.
if TYPE_CHECKING:
    from common.api import (
        TrainedModel,
        batches,
        build,
        collect_metrics,
        configure,
        dataset,
        load_run,
        picture,
        train,
        train_step,
    )
    from common.config import Config, LatentSpec
    from common.data.dataset import Dataset
    from common.errors import UserError
    from common.logs import log_to_stdout
    from common.models.hyperparameters import Hyperparameters, hyperparameter
    from common.models.registry import SystemSpec, register
    from common.models.system import System

# Before TensorFlow is imported: the project is written for Keras on TensorFlow; its log of the start would bury
# the lines that matter; oneDNN's kernels, off by default on some processors, nearly halve the time of a step.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__all__ = [
    "Config",
    "Dataset",
    "Hyperparameters",
    "LatentSpec",
    "System",
    "SystemSpec",
    "TrainedModel",
    "UserError",
    "batches",
    "build",
    "collect_metrics",
    "configure",
    "dataset",
    "hyperparameter",
    "load_run",
    "log_to_stdout",
    "picture",
    "register",
    "train",
    "train_step",
]
_ELSEWHERE = {  # All others are in `common.api`.
    "Config": "config",
    "Dataset": "data.dataset",
    "Hyperparameters": "models.hyperparameters",
    "LatentSpec": "config",
    "System": "models.system",
    "SystemSpec": "models.registry",
    "UserError": "errors",
    "hyperparameter": "models.hyperparameters",
    "log_to_stdout": "logs",
    "register": "models.registry",
}


def __getattr__(name):
    """Import a name of the library when it is used, so that `--help` stays fast."""
    if name not in __all__:
        raise AttributeError("module 'common' has no attribute " + repr(name))
    return getattr(importlib.import_module("common." + _ELSEWHERE.get(name, "api")), name)


def __dir__():
    """Return the names of the library, too."""
    return sorted(set(globals()) | set(__all__))
