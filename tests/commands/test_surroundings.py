"""What differs from one machine to the next: streams, consoles, folders, environment, keras.json, paths as typed."""

import argparse
import importlib
import json
import logging
import os
import pathlib
import pwd
import subprocess
import sys
import tempfile

import keras
import pytest

import common.nn
from common import program, surroundings
from common.data import mnist, pool, tfds
from common.errors import UserError
from common.io.notices import import_tensorflow
from common.options import default_cache_folder
from helpers.paths import ROOT

pytestmark = pytest.mark.fast

HELP = ["InfoVAE_MNIST.py", "--help-all"]


def shell(redirection, *arguments, **environment):
    """Runs Python in a shell; returns the finished process."""
    command = f'exec "$@" {redirection}' if "|" not in redirection else f'"$@" {redirection}'
    clean = {name: value for name, value in os.environ.items() if "KERAS_HOME" not in name}
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}", "-", sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env={**clean, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        timeout=120,
    )


@pytest.fixture
def homeless(monkeypatch):
    """Neither HOME nor an entry of the user among the accounts."""

    def nobody(uid):
        raise KeyError(uid)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.delenv("INFOVAEGAN_KERAS_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)


@pytest.fixture
def own_streams(monkeypatch):
    """What `take_over` changes is as before afterwards."""
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setenv("KERAS_HOME", "x")
    monkeypatch.setenv("INFOVAEGAN_KERAS_HOME", "x")


def test_a_reader_that_leaves_ends_a_program_quietly():
    process = shell("| head -1", *HELP)
    assert process.returncode in (0, 141) and process.stderr == b"" and process.stdout.startswith(b"usage")


def test_a_full_stdout_is_one_line():
    process = shell("> /dev/full", *HELP)
    assert (process.returncode, process.stderr) == (2, b"InfoVAE_MNIST.py: error: No space left on device\n")


@pytest.mark.parametrize(("arguments", "code"), [(HELP, 0), (["InfoVAE_MNIST.py", "--epochs", "0"], 2)], ids=str)
def test_closed_streams_lead_nowhere(arguments, code):
    assert shell("<&- >&- 2>&-", *arguments).returncode == code


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path):
    code = f"from common import surroundings as s; s.take_over(); f = open({str(tmp_path / 'x')!r}, 'w')"
    process = shell(">&- 2>&-", "-c", f"{code}; print('lost'); f.write(str(f.fileno() > 2))")
    assert process.returncode == 0 and (tmp_path / "x").read_text() == "True"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_a_console_shows_what_it_lacks_as_escapes(encoding):
    code = "from common import program; print(program.run('p', lambda: print('опыт \\udcff')))"
    process = shell("", "-c", code, PYTHONIOENCODING=encoding)
    shown = "опыт" if encoding == "utf-8" else "опыт".encode("ascii", "backslashreplace").decode()
    assert process.stdout.decode() == f"{shown} \\udcff\n0\n" and process.stderr == b""


def test_the_progress_bar_needs_no_special_characters(own_streams):
    surroundings.take_over()
    assert "━━ ж".encode("ascii", surroundings._ESCAPES) == b"== \\u0436"


def test_a_run_continues_without_a_place_to_print(monkeypatch, capsys, own_streams):
    class Full:
        def write(self, text):
            raise OSError(28, "No space left on device")

        flush = write

    def command():
        monkeypatch.setattr(sys, "stdout", Full())
        for _ in range(2):
            logging.getLogger("common.x").info("an epoch")
        return 7

    assert program.run("p", command) == 7
    assert capsys.readouterr().err == "cannot print (No space left on device): continuing without output\n"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("a mistake"), 2, "p: error: a mistake\n"),
        (FileNotFoundError(2, "No such file", "x"), 2, "p: error: x: No such file\n"),
        (KeyboardInterrupt(), 130, "p: stopped\n"),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_an_error_is_one_line_and_a_code(error, code, said, capsys, own_streams):
    def command():
        raise error

    assert program.run("p", command) == code
    assert capsys.readouterr().err == said


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert surroundings.path("~") == tmp_path and surroundings.path("~/x y") == tmp_path / "x y"
    for literal in ("./~", "a/~", "x~", "~nobody-of-this-name/x"):  # The last as in a shell.
        assert surroundings.path(literal) == pathlib.Path(literal)


@pytest.mark.parametrize("text", ["~", "~/x"])
def test_a_tilde_without_a_home_is_refused(text, homeless):
    with pytest.raises(argparse.ArgumentTypeError, match="^~.*: there is no home folder: set HOME"):
        surroundings.path(text)


def test_a_name_that_is_not_utf8_is_refused(monkeypatch):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a name in UTF-8, .*: rename it, or link to it"):
        surroundings.path(os.fsdecode(b"caf\xe9"))
    monkeypatch.setattr(os, "fsencode", lambda text: text.encode("latin-1"))  # A locale of another encoding.
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "iso8859-1")
    assert surroundings.path("cafe") == pathlib.Path("cafe")
    with pytest.raises(argparse.ArgumentTypeError, match="set PYTHONUTF8=1"):
        surroundings.path("café")


def test_without_a_home_there_are_temporary_folders(homeless):
    home = pathlib.Path(tempfile.gettempdir()) / f"infovaegan-{os.getuid()}"
    assert surroundings.home() == home and default_cache_folder() == home / ".cache" / "infovaegan"
    assert tfds.data_dir() == home / "tensorflow_datasets"
    assert [home in path.parents for path in mnist.default_paths()] == [True, True]


@pytest.mark.parametrize(
    ("given", "expected"), [("/x", "/x"), ("~/x", "{home}/x"), ("x", "{home}/.cache"), ("", "{home}/.cache")]
)
def test_the_cache_folder_is_absolute(given, expected, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    assert surroundings.cache_home() == pathlib.Path(expected.format(home=tmp_path))


def test_folders_of_the_environment_may_begin_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", "~/t")
    monkeypatch.setenv("KERAS_HOME", "~/k")
    monkeypatch.delenv("INFOVAEGAN_KERAS_HOME", raising=False)
    assert surroundings.tfds_home() == tmp_path / "t" and surroundings.keras_home() == tmp_path / "k"


def test_a_process_and_its_children_remember_keras_s_folder(monkeypatch, own_streams):
    monkeypatch.delenv("INFOVAEGAN_KERAS_HOME", raising=False)
    monkeypatch.setenv("KERAS_HOME", "/own")
    for _ in range(2):  # The second time as in a child, which inherits the environment.
        surroundings.take_over()
        assert surroundings.keras_home() == pathlib.Path("/own") and os.environ["KERAS_HOME"] == os.devnull


def test_a_keras_json_does_not_matter(tmp_path):
    """Neither other settings nor invalid ones; and nothing is written."""
    (tmp_path / ".keras").mkdir()
    settings = {"floatx": "float8", "epsilon": 1, "backend": "jax", "image_data_format": "channels_first"}
    (tmp_path / ".keras" / "keras.json").write_text(json.dumps(settings))
    code = (
        "from common import surroundings as s; s.take_over()\n"
        "from common.io.notices import import_tensorflow; import_tensorflow()\n"
        "import keras; c = keras.config; print(c.image_data_format(), c.floatx(), c.epsilon(), c.backend())\n"
        "print(c.max_epochs(), s.keras_home())"
    )
    process = shell("", "-c", code, HOME=str(tmp_path), KERAS_MAX_EPOCHS="1", TF_USE_LEGACY_KERAS="1")
    expected = f"channels_last float32 1e-07 tensorflow\nNone {tmp_path / '.keras'}\n"
    assert process.stdout.decode() == expected, process.stderr
    assert [path.name for path in tmp_path.rglob("*")] == [".keras", "keras.json"]


def test_networks_do_not_follow_settings_of_another_program():
    keras.config.set_image_data_format("channels_first")
    keras.config.set_floatx("float64")
    importlib.reload(common.nn)
    assert (keras.config.image_data_format(), keras.config.floatx()) == ("channels_last", "float32")


@pytest.mark.parametrize(
    ("flags", "fault", "reason", "remedy"),
    [
        (
            [],
            "raise RuntimeError('numpy 9 is too new\\nfor this')",
            b"(RuntimeError: numpy 9 is too new): ",
            b"pip inst",
        ),
        (["-OO"], "x = __doc__.y", b"(AttributeError: ", b"start Python without -OO\n"),
        (["-W", "error"], "import warnings; warnings.warn('old')", b"(UserWarning: old): ", b"without -W error and "),
    ],
    ids=["broken", "no docstrings", "warnings"],
)
def test_a_package_that_cannot_be_imported_is_one_line(flags, fault, reason, remedy, tmp_path):
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / "__init__.py").write_text(fault)
    code = (
        "from common import program; from common.io.notices import import_tensorflow\n"
        "print(program.run('p', import_tensorflow))"
    )
    process = shell("", *flags, "-c", code, PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert process.stdout == b"2\n" and process.stderr.count(b"\n") == 1, process.stderr
    assert b"cannot be imported " + reason in process.stderr and remedy in process.stderr


def test_without_a_folder_for_temporary_files_tmpdir_is_named(monkeypatch):
    def refuse():
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(UserError, match="No usable temporary directory .*: set TMPDIR"):
        import_tensorflow()


def test_without_semaphores_images_are_read_in_this_process(monkeypatch):
    def refuse(*arguments, **keywords):
        raise PermissionError(13, "Permission denied")  # As /dev/shm answers if it is read-only.

    monkeypatch.setattr(pool, "cores", lambda: 2)
    monkeypatch.setattr("multiprocessing.synchronize.SemLock.__init__", refuse)
    assert list(pool.parallel_map(abs, [-1, 2, -3], 3)) == [1, 2, 3]


def test_a_folder_with_a_common_of_its_own_does_no_harm(tmp_path):
    (tmp_path / "common.py").write_text("x = 1")
    (tmp_path / "numpy.py").write_text("x = 1")
    scripts = [[str(ROOT / "InfoVAE_MNIST.py"), "--help"], ["-P", "-m", "common.tf1", "--help"]]
    for arguments in scripts if sys.version_info >= (3, 11) else scripts[:1]:
        command = [sys.executable, *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=60)
        assert process.returncode == 0 and process.stdout.startswith(b"usage"), process.stderr
