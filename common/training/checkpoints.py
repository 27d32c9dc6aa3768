"""Checkpoints of a whole training state: networks, optimizers, step, noise stream and the epoch's means so far.

They are TensorFlow checkpoints of plainly named variables. Each is written aside, read back, and only then takes its name.
"""

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
from common.training.checkpoint_index import plain, read_index

FORMAT = 3  # Of what a checkpoint holds; a later version of this project may write a higher one.
DAMAGE = (
    tf.errors.OpError,
    OSError,
    ValueError,
    RuntimeError,
    IndexError,
)  # What TensorFlow raises on unreadable checkpoints.
_KEY = "state/{name}/.ATTRIBUTES/VARIABLE_VALUE"  # Of a variable in a TensorFlow checkpoint.
_ASIDE = ".saving"


class CheckpointWriteError(UserError):
    """A checkpoint could not be written; those before it are whole."""


class CorruptCheckpoint(UserError):
    """A checkpoint cannot be read."""


class IncompatibleCheckpoint(UserError):
    """A checkpoint is another model's."""


class Checkpoints:
    """The checkpoints of one run: `<folder>/<name>-<step>.*`.

    Args:
        system: whose state is saved and restored.
        folder: where; it must exist when `save` is called.
        name: the checkpoints' name, as the original had it.
        keep: how many are kept.
    """

    def __init__(self, system: System, folder: pathlib.Path, name: str, keep: int = 3):
        self._system = system
        self._state = system.state()
        self._checkpoint = tf.train.Checkpoint(state={**self._state, "format": tf.Variable(FORMAT, dtype=tf.int64)})
        self._folder, self._name, self._keep = folder, name, keep

    def save(self) -> str:
        """Writes a checkpoint under the present step and returns its path, without ending.

        It is whole or absent: written aside, flushed, read back and compared, renamed; then the oldest go. So do those of later
        steps, which only a course that was left can have written.

        Raises:
            CheckpointWriteError: it cannot be written or does not read back; the earlier ones are untouched.
            Diverged: a variable is not finite; nothing is written.
        """
        values = {_key(name): v.numpy() for name, v in self._state.items()}
        step = int(self._system.step.numpy())
        for name, value in values.items():
            if not np.isfinite(value).all():
                raise Diverged(f"{_name(name)} is not finite after step {step}")
        aside = self._folder / _ASIDE
        try:
            shutil.rmtree(aside, ignore_errors=True)  # What a killed save left.
            aside.mkdir()
            try:
                written = aside / f"{self._name}-{step}"
                self._checkpoint.write(str(written))
                read = _read(str(written))
                if any(not np.array_equal(read[key], value) for key, value in values.items()):
                    raise OSError("what was written reads back differently: the disk may be failing")
                _publish(written, self._folder)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
            self._forget(step)
        except (OSError, tf.errors.OpError, CorruptCheckpoint) as error:
            raise CheckpointWriteError(f"cannot write a checkpoint to {self._folder}: {first_line(error)}") from None
        return str(self._folder / f"{self._name}-{step}")

    def _forget(self, step: int) -> None:
        """Removes what is not kept after saving `step`, and tells TensorFlow's own tools what is left."""
        kept = [path for path in saved(self._folder) if step_of(path) <= step]
        for path in saved(self._folder):
            if path not in kept[: self._keep]:
                pathlib.Path(f"{path}.index").unlink()
        left = {os.path.basename(path) for path in kept[: self._keep]}
        for file in os.listdir(self._folder):  # Also of saves that were killed between data and index.
            if (data := re.fullmatch(r"(.+-\d+)\.data-\d+-of-\d+", file, re.DOTALL)) and data[1] not in left:
                (self._folder / file).unlink()
        names = [os.path.basename(path) for path in reversed(kept[: self._keep])]
        listing = tf.compat.v1.train.generate_checkpoint_state_proto(str(self._folder), names[-1], names)
        with atomic_write(self._folder / "checkpoint") as temporary:
            temporary.write_text(text_format.MessageToString(listing), encoding="utf-8")

    def newest(self) -> str | None:
        """The path of the newest checkpoint, or None."""
        return next(iter(saved(self._folder)), None)

    def restore_latest(self) -> str:
        """Restores the newest checkpoint that is whole, names those that it skips, and returns its path.

        Raises:
            UserError: there is none, or none of them is whole, or it is another model's or of a later version.
        """
        paths = saved(self._folder)
        if not paths:
            raise UserError(f"nothing to resume: there is no checkpoint in {self._folder}")
        errors = []
        for path in paths:
            try:
                self.restore(path)
            except (
                CorruptCheckpoint,
                IncompatibleCheckpoint,
            ) as error:  # A damaged index may well look like that of another model.
                errors.append(error)
            else:
                for error in errors:
                    print(f"Skipped: {error}", flush=True)
                return path
        more = f" (and so are the {len(paths) - 1} before it)" if len(paths) > 1 else ""
        raise type(errors[0])(f"{errors[0]}{more}")

    def restore(self, path: str) -> None:
        """Restores the checkpoint at `path`. Where that fails, nothing has been changed.

        Raises:
            CorruptCheckpoint: it cannot be read, or holds values that are not finite.
            IncompatibleCheckpoint: it is another model's.
            UserError: it is of a later version of this project.
        """
        values = _read(path)
        version = int(values.get(_key("format"), FORMAT))
        if version > FORMAT:
            later = f"format {version}; this one reads up to {FORMAT}"
            raise UserError(f"{path} was written by a later version of this project ({later})")
        for name, v in self._state.items():
            value = values.get(_key(name))
            if value is None or value.shape != tuple(v.shape) or value.dtype != v.dtype.as_numpy_dtype:
                raise IncompatibleCheckpoint(f"{path} is the checkpoint of another model: {name} does not fit")
            if not np.isfinite(value).all():
                raise CorruptCheckpoint(f"{path}: {name} is not finite")
        for name, v in self._state.items():
            v.assign(values[_key(name)])


def _key(name: str) -> str:
    return _KEY.format(name=name.replace("/", ".S"))


def _name(key: str) -> str:
    return key.split("/")[1].replace(".S", "/")


def step_of(path: str) -> int:
    """The training step that the checkpoint at `path` was saved after."""
    return int(path.rsplit("-", 1)[1])


def _read(path: str) -> dict[str, np.ndarray]:
    """Every tensor of the checkpoint at `path`; each has a checksum. Raises CorruptCheckpoint."""
    try:
        read_index(path)  # TensorFlow aborts on some damaged ones.
        with plain(path) as readable:
            reader = tf.train.load_checkpoint(readable)
            return {key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map()}
    except DAMAGE as error:
        raise CorruptCheckpoint(f"{path} is no readable checkpoint: {first_line(error)}") from None


def _publish(written: pathlib.Path, folder: pathlib.Path) -> None:
    """Moves a checkpoint into `folder`, its index last: without one, a checkpoint does not exist."""
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


def saved(folder: pathlib.Path) -> list[str]:
    """The paths, without ending, of the checkpoints in `folder`, the newest first; whether they are whole is not looked at."""
    try:
        names = [
            match[1] for name in os.listdir(folder) if (match := re.fullmatch(r"(.+-\d+)\.index", name, re.DOTALL))
        ]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted((str(folder / name) for name in names), key=step_of, reverse=True)
