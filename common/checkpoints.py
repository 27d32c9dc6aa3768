"""Checkpoints of a whole training state: networks, optimizers and step, as TensorFlow checkpoints of plainly named variables."""

import pathlib

import tensorflow as tf

from common import models
from common.config import RUN_FILE, config_of
from common.errors import UserError, first_line
from common.models.system import System


DAMAGE = (tf.errors.OpError, OSError, ValueError, RuntimeError, IndexError)  # What TensorFlow raises on unreadable checkpoints.
_KEY = "state/{name}/.ATTRIBUTES/VARIABLE_VALUE"  # Of a variable in a TensorFlow checkpoint.


def state(system: System) -> dict[str, tf.Variable]:
    """Every variable that training goes on from, by name: `encoder/e_mean/kernel`, `d/beta1_power`, `q/m/encoder/e_mean/kernel`, `step`."""
    variables = {"step": system.step.value}
    for network, model in system.networks.items():
        for layer in model.layers:
            for v in layer.variables:
                variables[f"{network}/{layer.name}/{v.name}"] = v.value
    names = {id(v): name for name, v in variables.items()}
    for name, optimizer in system.optimizers.items():
        variables[f"{name}/iterations"] = optimizer.iterations.value
        variables[f"{name}/beta1_power"] = optimizer.beta1_power.value
        variables[f"{name}/beta2_power"] = optimizer.beta2_power.value
        for v, m1, m2 in zip(system.moved_variables(name), optimizer.m, optimizer.v, strict=True):
            variables[f"{name}/m/{names[id(v.value)]}"] = m1.value
            variables[f"{name}/v/{names[id(v.value)]}"] = m2.value
    return variables


class Checkpoints:
    """The checkpoints of one run: `<folder>/<name>-<step>.*`.

    Args:
        system: whose state is saved and restored.
        folder: where; made by the first `save`.
        name: the checkpoints' name, as the original had it.
        keep: how many are kept.
    """

    def __init__(self, system: System, folder: pathlib.Path, name: str, keep: int = 3):
        self._system = system
        self._checkpoint = tf.train.Checkpoint(state=state(system))
        self._folder, self._name, self._keep = folder, name, keep

    def _manager(self) -> tf.train.CheckpointManager:
        return tf.train.CheckpointManager(self._checkpoint, str(self._folder), max_to_keep=self._keep, checkpoint_name=self._name)

    def save(self) -> str:
        """Writes a checkpoint under the present step and returns its path, without ending. Raises UserError where it cannot be written."""
        try:
            return self._manager().save(checkpoint_number=int(self._system.step.numpy()))
        except (tf.errors.OpError, OSError) as error:
            raise UserError(f"cannot write a checkpoint to {self._folder}: {first_line(error)}") from None

    def restore_latest(self) -> str:
        """Restores the newest checkpoint and returns its path. Raises UserError where there is none, or it does not fit or is damaged."""
        path = latest(self._folder)
        if path is None:
            raise UserError(f"nothing to resume: there is no checkpoint in {self._folder}")
        self.restore(path)
        return path

    def restore(self, path: str) -> None:
        """Restores the checkpoint at `path`. Raises UserError where it does not fit or is damaged; then nothing has been changed."""
        wanted = {_KEY.format(name=name.replace("/", ".S")): v for name, v in state(self._system).items()}
        try:
            reader = tf.train.load_checkpoint(path)
            shapes = reader.get_variable_to_shape_map()
            # Checked here, since TensorFlow finds out halfway, and then prints a page when the program ends.
            if any(shapes.get(key) != list(v.shape) for key, v in wanted.items()):
                raise UserError(f"{path} is the checkpoint of another model")
            values = {key: reader.get_tensor(key) for key in shapes}  # All of them: each has a checksum.
        except DAMAGE as error:
            raise UserError(f"{path} is no readable checkpoint: {first_line(error)}") from None
        for key, variable in wanted.items():
            variable.assign(values[key])


def latest(folder: pathlib.Path) -> str | None:
    """The path of the newest checkpoint in `folder`, or None."""
    return tf.train.latest_checkpoint(str(folder))


def locate(path: pathlib.Path) -> str:
    """The checkpoint that `path` means: itself, or the newest in a folder. Raises UserError where there is none."""
    found = latest(path) if path.is_dir() else str(path) if pathlib.Path(f"{path}.index").is_file() else None
    if found is None:
        raise UserError(f"no checkpoint at {path}: it should be a path like models/InfoVAE_MNIST/InfoVAE_MNIST-937, or the folder")
    return found


def open_run(path: pathlib.Path) -> tuple[System, str]:
    """The system of the run that checkpoint `path` (or the newest in that folder) is of, in that state, and the checkpoint's path.

    Raises UserError where there is none, or it does not fit or is damaged.
    """
    checkpoint = locate(path)
    folder = pathlib.Path(checkpoint).parent
    config = config_of(folder / RUN_FILE)
    system = models.build(config)
    Checkpoints(system, folder, config.checkpoint_name).restore(checkpoint)
    return system, checkpoint
