"""What comes from outside and differs from one machine to the next: streams, folders, environment, paths as typed."""

import argparse
import codecs
import contextlib
import io
import os
import pathlib
import sys
import tempfile
from typing import IO

_ESCAPES = "infovaegan-escapes"
_KERAS_LIMITS = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH")  # Would end training early, without a word.
_KERAS_HOME = "INFOVAEGAN_KERAS_HOME"  # Keeps KERAS_HOME as the user set it, for processes that this one starts, too.


def take_over() -> None:
    """Make the process independent of its surroundings. A program calls this once, before TensorFlow is imported.

    Standard streams that are closed lead nowhere: otherwise the first file that is opened would get their number, and
    with it what libraries print. Characters that a console lacks are escaped. Keras finds no keras.json.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # Gets the lowest free number: this one.
        if getattr(sys, name) is None:
            setattr(sys, name, _nowhere("r" if number == 0 else "w"))
    codecs.register_error(_ESCAPES, _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ESCAPES)
    os.environ.setdefault(_KERAS_HOME, os.environ.get("KERAS_HOME", ""))
    os.environ["KERAS_HOME"] = os.devnull  # Not a folder, so Keras keeps its defaults and writes nothing.
    for name in _KERAS_LIMITS:
        os.environ.pop(name, None)


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    """Escape what an encoding lacks; Keras's progress bar is drawn as Keras draws it there."""
    if isinstance(error, UnicodeEncodeError) and set(error.object[error.start : error.end]) == {"━"}:
        return "=" * (error.end - error.start), error.end
    return codecs.backslashreplace_errors(error)


def _nowhere(mode: str) -> IO[str]:
    return open(os.devnull, mode, encoding="utf-8")


def drop_stdout(error: OSError) -> None:
    """Let stdout lead nowhere after `error` from writing to it: a closed pipe, a full disk, a terminal that is gone."""
    sys.stdout = _nowhere("w")
    if not isinstance(error, BrokenPipeError):
        tell(f"cannot print ({error.strerror or error}): continuing without output")


def tell(message: str) -> None:
    """Print a line to stderr, if that is possible."""
    with contextlib.suppress(OSError):
        print(message, file=sys.stderr, flush=True)


def home() -> pathlib.Path:
    """Return the user's home folder; without one, a folder of this user among the temporary files."""
    folder = os.path.expanduser("~")
    if os.path.isabs(folder):
        return pathlib.Path(folder)
    return pathlib.Path(tempfile.gettempdir()) / f"infovaegan-{os.getuid()}"


def cache_home() -> pathlib.Path:
    """Return the user's cache folder. As its specification says, XDG_CACHE_HOME counts only if it is absolute."""
    folder = os.path.expanduser(os.environ.get("XDG_CACHE_HOME", ""))
    return pathlib.Path(folder) if os.path.isabs(folder) else home() / ".cache"


def keras_home() -> pathlib.Path:
    """Return Keras's folder: $KERAS_HOME or ~/.keras."""
    folder = os.environ.get(_KERAS_HOME, os.environ.get("KERAS_HOME"))
    return pathlib.Path(os.path.expanduser(folder)) if folder else home() / ".keras"


def tfds_home() -> pathlib.Path:
    """Return TFDS's data folder: $TFDS_DATA_DIR or ~/tensorflow_datasets."""
    folder = os.environ.get("TFDS_DATA_DIR")
    return pathlib.Path(os.path.expanduser(folder)) if folder else home() / "tensorflow_datasets"


def path(text: str) -> pathlib.Path:
    """Return a path as a user types it. `~` is the home folder, also where the shell leaves it (--out=~/x).

    Raises:
        argparse.ArgumentTypeError: it is empty, there is no home folder, or TensorFlow, which takes names as UTF-8,
            would find another file.
    """
    if not text:  # Often a variable of the shell that is not set; pathlib would take it for the current folder.
        raise argparse.ArgumentTypeError("needs a path, got ''")
    found = os.path.expanduser(text)
    if found == "~" or found.startswith("~/"):
        raise argparse.ArgumentTypeError(f"{text}: there is no home folder: set HOME, or write the path without ~")
    try:
        utf8 = found.encode() == os.fsencode(found)
    except UnicodeEncodeError:
        utf8 = False
    if not utf8:
        encoding = sys.getfilesystemencoding()
        remedy = "rename it, or link to it" if encoding == "utf-8" else "set PYTHONUTF8=1"
        raise argparse.ArgumentTypeError(f"{text} is not a name in UTF-8, which TensorFlow requires: {remedy}")
    return pathlib.Path(found)
