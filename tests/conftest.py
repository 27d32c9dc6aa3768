"""Fixtures for several files: the smallest sensible configuration, systems built from it once, and images for them."""

import logging
import os
import shutil
import signal
import tempfile

import pytest

from common import threads

pytest.register_assert_rewrite("helpers")

SLOW = ("test_devices.py", "test_scripts.py", "test_smoke.py", "test_faults.py", "test_compare.py")


def pytest_configure():
    """Handle signals as in a terminal: started by nohup or in the background, they would be ignored and stay so."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items):
    """Put the slowest files first: each worker takes a file at a time, and none should wait for another at the end."""
    items.sort(key=lambda item: SLOW.index(item.path.name) if item.path.name in SLOW else len(SLOW))


@pytest.fixture(scope="session", autouse=True)
def temporary_folder(tmp_path_factory):
    """The place for temporary files of the session, which is removed at the end.

    TensorFlow's autograph leaves files in processes that are killed, TFDS an empty folder, and a failed run its state.
    """
    tmp_path_factory.getbasetemp()  # It stays where pytest looks for it, and a failed test's folder with it.
    made = tempfile.TemporaryDirectory(prefix="t-", ignore_cleanup_errors=True)  # Sockets need a short path.
    with made as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield


@pytest.fixture(autouse=True)
def threads_as_before():
    """The environment without a choice of threads: neither this shell's nor that of a script run by another test."""
    before = os.environ.pop(threads.VARIABLE, None)
    yield
    os.environ.pop(threads.VARIABLE, None)
    if before is not None:
        os.environ[threads.VARIABLE] = before


@pytest.fixture(autouse=True)
def keras_home_as_before():
    """No test finds what a program run by another test made of Keras's folder."""
    names = ("KERAS_HOME", "INFOVAEGAN_KERAS_HOME")
    before = {name: os.environ[name] for name in names if name in os.environ}
    yield
    for name in names:
        os.environ.pop(name, None)
    os.environ.update(before)


@pytest.fixture(autouse=True)
def log_as_before():
    """No test finds the handler that a script's command line gave the project's log in another."""
    yield
    logger = logging.getLogger("common")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="module", autouse=True)
def remove_folders_of_fixtures(tmp_path_factory):
    """Remove the folders made by a file's fixtures: pytest keeps them to the end, and checkpoints are large."""
    yield
    for folder in tmp_path_factory.getbasetemp().iterdir():
        if not folder.name.startswith("test_"):  # Those are of tests that failed.
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def make_config():
    """`make_config(**changes)`: a small `Config` for 28-pixel images; hyper-parameters are named like other fields."""
    from helpers.systems import make_config as make

    return make


@pytest.fixture(scope="session")
def build_for_all(make_config):
    """`build_for_all(**changes)`: like `build_system`, but built once per session."""
    from helpers.systems import builder

    return builder(make_config)


@pytest.fixture(scope="module")
def build_system(make_config):
    """`build_system(**changes)`: the system of `make_config(**changes)` at its initial weights."""
    from helpers.systems import builder

    return builder(make_config)


@pytest.fixture
def system(build_for_all):
    """The system of `make_config()` at its initial weights: built once, reset for each test."""
    return build_for_all()


@pytest.fixture
def infogan(build_system):
    """The InfoGAN of `make_config()`, at its initial weights."""
    return build_system(model="infogan", first_batch_norm=True)


@pytest.fixture(scope="session")
def images(make_config):
    """A batch of noise in the shape of `make_config()`'s images."""
    import tensorflow as tf

    return tf.random.stateless_uniform((make_config().batch_size, *make_config().image_shape), seed=[1, 2])
