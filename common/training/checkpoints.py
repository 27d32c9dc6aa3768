"""Checkpoints of a whole training state: networks, optimizers, step, rollbacks and the epoch's means so far.

They are TensorFlow checkpoints of plainly named variables. Each is written to a temporary folder, verified and renamed.
"""

import logging
import os
import pathlib
import re
import shutil

import numpy as np
import tensorflow as tf
from google.protobuf import text_format

from common.errors import Diverged, UserError, first_line
from common.io.atomic import atomic_write
from common.models.system import System
from common.training.checkpoint_files import saved, step_of
from common.training.checkpoint_index import literal_path, read_index

FORMAT = 3  # Of what a checkpoint holds; a later version of this project may write a higher one.
DAMAGE = (tf.errors.OpError, OSError, ValueError, RuntimeError, IndexError)  # TensorFlow's errors on damaged files.
_KEY = "state/{name}/.ATTRIBUTES/VARIABLE_VALUE"  # Of a variable in a TensorFlow checkpoint.
_UNFINISHED = ".saving"

logger = logging.getLogger(__name__)


class CheckpointWriteError(UserError):
    """A checkpoint could not be written; the earlier ones are intact."""


class CorruptCheckpoint(UserError):
    """A checkpoint cannot be read."""


class IncompatibleCheckpoint(UserError):
    """A checkpoint belongs to a different model."""


class Checkpoints:
    """The checkpoints of one run: `<folder>/<name>-<step>.*`. Files of other names are left alone.

    Args:
        system: the system whose state is saved and restored. One without optimizers can only be restored.
        folder: their folder; it must exist when `save` is called.
        name: their name, as the original had it.
        keep: how many to keep.
    """

    def __init__(self, system: System, folder: pathlib.Path, name: str, keep: int = 2):
        self._system = system
        self._state = system.state()
        self._checkpoint = tf.train.Checkpoint(state={**self._state, "format": tf.Variable(FORMAT, dtype=tf.int64)})
        self._folder, self._name, self._keep = folder, name, keep

    def save(self) -> str:
        """Write a checkpoint of the present step and return its path, without ending.

        It is complete or absent: written to a temporary folder, flushed, read back, compared and renamed. Then the
        oldest are deleted, and those of later steps, which are from before a rollback.

        Raises:
            CheckpointWriteError: it cannot be written or reads back differently; the earlier ones are untouched.
            Diverged: a variable is not finite; nothing is written.
        """
        values = {_key(name): v.numpy() for name, v in self._state.items()}
        step = int(self._system.step.numpy())
        for name, value in values.items():
            if not np.isfinite(value).all():
                raise Diverged(f"{_name(name)} is not finite after step {step}")
        unfinished = self._folder / _UNFINISHED
        try:
            shutil.rmtree(unfinished, ignore_errors=True)  # Left by a save that was killed.
            unfinished.mkdir()
            try:
                written = unfinished / f"{self._name}-{step}"
                self._checkpoint.write(str(written))
                read = _read(str(written))
                if any(not np.array_equal(read[key], value) for key, value in values.items()):
                    raise OSError("it reads back differently: the disk may be failing")
                _publish(written, self._folder)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
            self._delete_old(step)
        except (OSError, tf.errors.OpError, CorruptCheckpoint) as error:
            raise CheckpointWriteError(f"cannot write a checkpoint to {self._folder}: {first_line(error)}") from None
        return str(self._folder / f"{self._name}-{step}")

    def _delete_old(self, step: int) -> None:
        """Delete old checkpoints and update TensorFlow's `checkpoint` file."""
        paths = saved(self._folder, self._name)
        kept = [path for path in paths if step_of(path) <= step][: self._keep]
        for path in paths:
            if path not in kept:
                pathlib.Path(f"{path}.index").unlink()
        names = [os.path.basename(path) for path in reversed(kept)]
        pattern = rf"({re.escape(self._name)}-\d+)\.data-\d+-of-\d+"
        for file in os.listdir(self._folder):  # Also of saves that were killed between data and index.
            if (data := re.fullmatch(pattern, file)) and data[1] not in names:
                (self._folder / file).unlink()
        listing = tf.compat.v1.train.generate_checkpoint_state_proto(str(self._folder), names[-1], names)
        with atomic_write(self._folder / "checkpoint") as temporary:
            temporary.write_text(text_format.MessageToString(listing), encoding="utf-8")

    def newest(self) -> str | None:
        """Return the path of the newest checkpoint, or None."""
        return next(iter(saved(self._folder, self._name)), None)

    def restore_latest(self) -> str:
        """Restore the newest intact checkpoint, log the damaged ones skipped, and return its path.

        Raises:
            UserError: there is none, none is intact, or it is of a different model or of a later version.
        """
        paths = saved(self._folder, self._name)
        if not paths:
            raise UserError(f"nothing to resume: there is no checkpoint in {self._folder}")
        errors = []
        for path in paths:
            try:
                self.restore(path)
            except (CorruptCheckpoint, IncompatibleCheckpoint) as error:  # A damaged index can look like another model.
                errors.append(error)
            else:
                for error in errors:
                    logger.warning("Skipped: %s", error)
                return path
        more = f" (the {len(paths) - 1} older ones cannot be used either)" if len(paths) > 1 else ""
        raise type(errors[0])(f"{errors[0]}{more}")

    def restore(self, path: str) -> None:
        """Restore the checkpoint at `path`. If that fails, nothing has changed.

        Raises:
            CorruptCheckpoint: it cannot be read, or holds values that are not finite.
            IncompatibleCheckpoint: it belongs to a different model.
            UserError: it is of a later version of this project.
        """
        values = _read(path, {_key(name) for name in (*self._state, "format")})
        version = int(values.get(_key("format"), FORMAT))
        if version > FORMAT:
            later = f"format {version}; this one reads up to {FORMAT}"
            raise UserError(f"{path} was written by a later version of this project ({later})")
        for name, v in self._state.items():
            value = values.get(_key(name))
            if value is None or value.shape != tuple(v.shape) or value.dtype != v.dtype.as_numpy_dtype:
                fault = "is missing" if value is None else "has another shape or dtype"
                raise IncompatibleCheckpoint(f"{path} does not match this model: {name} {fault}")
            if not np.isfinite(value).all():
                raise CorruptCheckpoint(f"{path}: {name} is not finite")
        for name, v in self._state.items():
            v.assign(values[_key(name)])


def _key(name: str) -> str:
    return _KEY.format(name=name.replace("/", ".S"))


def _name(key: str) -> str:
    return key.split("/")[1].replace(".S", "/")


def _read(path: str, keys: set[str] | None = None) -> dict[str, np.ndarray]:
    """Return the tensors of the checkpoint at `path`, all or those of `keys`. Raises CorruptCheckpoint."""
    try:
        read_index(path)  # TensorFlow aborts the process on some damaged ones.
        with literal_path(path) as readable:
            reader = tf.train.load_checkpoint(readable)  # It verifies a checksum of each tensor.
            names = reader.get_variable_to_shape_map()
            return {key: reader.get_tensor(key) for key in names if keys is None or key in keys}
    except DAMAGE as error:
        raise CorruptCheckpoint(f"{path} is not a readable checkpoint: {first_line(error)}") from None


def _publish(written: pathlib.Path, folder: pathlib.Path) -> None:
    """Move a checkpoint into `folder`, its index last: without one, a checkpoint does not exist."""
    index = folder / f"{written.name}.index"
    index.unlink(missing_ok=True)
    for file in sorted(written.parent.iterdir()):  # "data" before "index".
        with open(file, "rb") as content:
            os.fsync(content.fileno())
        file.replace(folder / file.name)
    if os.name == "posix":  # Windows cannot open folders.
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
