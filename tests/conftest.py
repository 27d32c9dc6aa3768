"""What several test files share: the smallest configuration that makes sense, systems built from it once, and images for them."""

import os
import shutil

import pytest

from common import threads

pytest.register_assert_rewrite("helpers")

SLOW = ("test_devices.py", "test_scripts.py", "test_smoke.py", "test_faults.py", "test_compare.py")


def pytest_collection_modifyitems(items):
    """The slowest files first: two workers take a file each, and one should not wait for the other in the end."""
    items.sort(key=lambda item: SLOW.index(item.path.name) if item.path.name in SLOW else len(SLOW))


@pytest.fixture(autouse=True)
def threads_as_before():
    """No test finds the choice of threads that a script's command line made in another, or that of this shell."""
    before = os.environ.pop(threads.VARIABLE, None)
    yield
    os.environ.pop(threads.VARIABLE, None)
    if before is not None:
        os.environ[threads.VARIABLE] = before


@pytest.fixture(scope="module", autouse=True)
def what_a_file_shares_goes_with_it(tmp_path_factory):
    """Removes the folders that fixtures of a file made: pytest keeps them to the end, and checkpoints are hundreds of MiB each."""
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
    """`build_for_all(**changes)`: like `build_system`, but kept to the end. For what many files use."""
    from helpers.systems import builder

    return builder(make_config)


@pytest.fixture(scope="module")
def build_system(make_config):
    """`build_system(**changes)`: the system of `make_config(**changes)` at its initial weights, built once in a file and set back each time."""
    from helpers.systems import builder

    return builder(make_config)


@pytest.fixture
def system(build_for_all):
    """`make_config()`'s system at its initial weights: built once, set back for each test."""
    return build_for_all()


@pytest.fixture
def infogan(build_system):
    """The InfoGAN of `make_config()`, at its initial weights."""
    return build_system(model="infogan", first_batch_norm=True)


@pytest.fixture(scope="session")
def images(make_config):
    """A batch of `make_config()`'s images, of noise."""
    import tensorflow as tf

    return tf.random.stateless_uniform((make_config().batch_size, *make_config().image_shape), seed=[1, 2])
