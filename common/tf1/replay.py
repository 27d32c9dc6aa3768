"""What the comparison must know about one family of the original's models.

A new family is a `Replay` in a file of its own and its entry in `compare.FAMILIES`; nothing else changes.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from common.config import Config
from common.errors import UserError
from common.models.system import System
from common.tf1.checkpoints import match, network_variables
from common.tf1.recording import Recording, initial_value


class Point(NamedTuple):
    """What a system computes at one point, under the recording's names.

    Attributes:
        outputs: tensors [B, ...] by the name after "out/" or "final/"; perhaps only the first rows were recorded.
        losses: scalars by name.
        gradients: loss -> TF1 name of a variable -> its gradient, None if the loss does not reach it.
    """

    outputs: Mapping[str, tf.Tensor]
    losses: Mapping[str, tf.Tensor]
    gradients: Mapping[str, Mapping[str, tf.Tensor | None]]


class Replay:
    """A recording's system, which starts at the initial point, and how close to the recording it should be.

    Tolerances are relative to the recorded loss or norm; those of tensors to max(1, largest value). Where they are
    by name, "" stands for all other names.

    Attributes:
        FIELD: a field of the .json that only this family has.
        INITIAL: (mean, stddev) of initial variables whose names other families do not have, by the name's last part.
        OUTPUTS, LOSSES: tolerances at the initial point, by name.
        GRADIENTS: tolerances of (norm, projection) of a gradient, by loss.
        ITERATIONS: tolerances of (losses, variables) of each iteration.
        INPUTS: names of arrays, after their point's name, that are inputs and not outputs.
        FINAL_LOSSES: tolerance of the losses after the last iteration, if they are recorded.
        FINAL: tolerance of outputs after the last iteration, as `final_error` measures them.
        update: the system's update, as one graph.
        variables: TF1 name -> variable.
    """

    FIELD: str
    INITIAL: Mapping[str, tuple[float, float]] = {}
    OUTPUTS: Mapping[str, float]
    LOSSES: Mapping[str, float]
    GRADIENTS: Mapping[str, tuple[float, float]]
    ITERATIONS: tuple[tuple[float, float], ...]
    INPUTS: tuple[str, ...] = ()
    FINAL_LOSSES: float = 0.0
    FINAL: float

    def __init__(self, recording: Recording):
        self.recording, self.system = recording, self.build(recording)
        self.update = tf.function(self.system.update)
        self.variables = match(network_variables(self.system), recording.variables)
        for name, variable in self.variables.items():
            variable.assign(initial_value(name, recording.variables[name], self.INITIAL))
        self.names = {id(v): name for name, v in self.variables.items()}

    def build(self, recording: Recording) -> System:
        """Return the recorded configuration's system. Raises UserError if there is none."""
        raise NotImplementedError

    def initial(self) -> Point:
        """Outputs, losses and gradients at the initial point."""
        raise NotImplementedError

    def step(self, index: int) -> Mapping[str, tf.Tensor]:
        """One training iteration, in place; the losses before it, by name."""
        raise NotImplementedError

    def final(self) -> Point:
        """Outputs, and losses if they are recorded, after the last iteration; no gradients."""
        raise NotImplementedError

    def gradient_tolerances(self, loss: str, name: str) -> tuple[float, float]:
        """Return how close (norm, projection) of this loss's gradient of the variable `name` should be."""
        return self.GRADIENTS.get(loss, self.GRADIENTS[""])

    def left_out(self, loss: str, name: str) -> str | None:
        """Return why this loss's recorded gradient of the variable `name` is not compared; None if it is."""
        return None

    def final_error(self, computed: np.ndarray, recorded: np.ndarray) -> float:
        """Return how far outputs after the last iteration are from the recorded ones."""
        return relative_error(computed, recorded)


def recorded_config(recording: Recording, describe: Callable[[], dict[str, Any]]) -> Config:
    """Return the configuration of a recording, whose remaining fields `describe` takes from the .json.

    Raises UserError if these are not there or out of range.
    """
    name = recording.path.stem
    try:
        size = recording.batch_shape[0]
        return Config(name=name, checkpoint_name=name, dataset="", epochs=1, batch_size=size, **describe())
    except (KeyError, TypeError, ValueError, ArithmeticError, UserError) as error:
        raise UserError(f"{recording.path} describes a configuration that cannot be built: {error}") from None


def relative_error(computed: np.ndarray, recorded: np.ndarray) -> float:
    """Return the largest difference, relative to max(1, largest recorded value)."""
    return float(np.abs(computed - recorded).max() / max(1.0, np.abs(recorded).max()))
