"""What several test files share: the smallest configuration that makes sense, and a system built from it once."""

import pytest

from common.config import Config, LatentSpec


SLOW = ("test_distribute.py", "test_scripts.py", "test_smoke.py", "test_faults.py", "test_compare.py")


def pytest_collection_modifyitems(items):
    """The slowest files first: two workers take a file each, and one should not wait for the other in the end."""
    items.sort(key=lambda item: SLOW.index(item.path.name) if item.path.name in SLOW else len(SLOW))


@pytest.fixture(scope="session")
def make_config():
    """`make_config(**changes)`: a `Config` for 28-pixel images, small and with no two sizes or multipliers alike."""
    settings = {
        "name": "tiny", "checkpoint_name": "tiny", "dataset": "mnist", "image_shape": (28, 28, 1), "scaling": "unit",
        "latent": LatentSpec(noise=7, categories=4, continuous=3), "epochs": 1, "batch_size": 8, "learning_rate": 2e-4,
        "generator_multiplier": 5.0, "information_multiplier": 3.0, "vae_multiplier": 2.0, "adam_beta1": 0.5, "adam_beta2": 0.999,
        "adam_epsilon": 1e-8, "categorical_kl_weight": 0.5, "first_batch_norm": False, "seed": 0}
    return lambda **changes: Config(**{**settings, **changes})


@pytest.fixture(scope="session")
def built_system(make_config):
    """`make_config()`'s system and its initial state, by name. Use `system`."""
    from common import checkpoints, models

    system = models.build(make_config())
    return system, {name: v.numpy() for name, v in checkpoints.state(system).items()}


@pytest.fixture
def system(built_system):
    """`make_config()`'s system at its initial weights: built once, set back for each test."""
    from common import checkpoints

    system, initial = built_system
    for name, variable in checkpoints.state(system).items():
        variable.assign(initial[name])
    return system
