"""Readers of JSON on damaged and hostile files: recordings of the original, and the configuration
next to checkpoints.
"""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from common.config import Config
from common.errors import UserError
from common.options import RUN_FILE
from common.run_json import provenance, read_config, require_same_run
from common.tf1 import infovaegan
from common.tf1.recording import Recording, initial_value
from helpers import mutations
from helpers.mutations import MUTANTS, survey

RANDOM = np.random.RandomState(0)
FINGERPRINT = {"norm": 0.5, "projection": -0.25}
FIELDS = {
    "image_dims": [28, 28, 1],
    "batch_size": 4,
    "noise_len": 5,
    "discrete_len": 3,
    "continous_len": 2,
    "learning_rate": 1e-3,
    "multipliers": {"g": 2, "q": 3, "v": 1},
    "variables": {"encoder/e_mean/bias": [2], "encoder/e_log_sigma_sq/bias": [2], "decoder/g_h0/w": [3, 4]},
    "losses": {"d_loss": 1.5, "KL_y": 0.1},
    "gradients": {"d_loss": {"encoder/e_mean/bias": FINGERPRINT}},
    "trace": [{"d_loss": 1.25, "variables": {"encoder/e_mean/bias": FINGERPRINT}}],
}
CONTENT = {"train": {"count": 3, "shape": [2, 2, 1], "images": "ab", "labels": None}, "test": None, "factors": {}}
ARRAYS = {
    **{f"noise/{i}": RANDOM.uniform(0.1, 0.9, (4, 3 if i % 2 else 2)).astype(np.float32) for i in range(5)},
    "out/D_real_logits": np.ones((4, 1), np.float32),
}


def check_recording(path):
    """All that is read from a recording when it is compared."""
    recording = Recording(path)
    config = infovaegan.config_of(recording)
    x, latents = infovaegan.batch(recording, 1)
    assert x.shape == (config.batch_size, *config.image_shape) and x.dtype == "float32"
    assert latents.noise.shape == (config.batch_size, config.latent.noise) and latents.code.shape == (
        config.batch_size,
        config.latent.code,
    )
    for name, shape in recording.variables.items():
        assert np.isfinite(initial_value(name, shape)).all()
    losses = [recording.losses, *({n: v for n, v in step.items() if n != "variables"} for step in recording.trace)]
    assert all(np.isfinite(np.float64(value)) for group in losses for value in group.values())
    prints = [*recording.gradients.values(), *(step["variables"] for step in recording.trace)]
    assert all(
        np.isfinite([float(one["norm"]), float(one["projection"])]).all() for group in prints for one in group.values()
    )
    noise = infovaegan.noise_of(recording, "noise")
    if noise is not None:
        assert all(tensor.dtype == "float32" and tensor.ndim == 2 for tensor in tf.nest.flatten(noise))
    assert all(recording.array(f"out/{name}").dtype.kind == "f" for name in recording.names("out/"))


def test_recording_json(tmp_path):
    np.savez(tmp_path / "r.npz", **ARRAYS)
    random = np.random.RandomState(0)

    def read(mutant):
        (tmp_path / "r.json").write_bytes(mutant)
        check_recording(tmp_path / "r.json")

    assert min(survey(read, (mutations.json_mutant(random, FIELDS) for _ in range(2 * MUTANTS))).values()) > 50


def test_recording_npz(tmp_path):
    (tmp_path / "r.json").write_text(json.dumps(FIELDS))
    evil, random = mutations.Evil(tmp_path / "executed"), np.random.RandomState(0)

    def read(mutant):
        (tmp_path / "r.npz").write_bytes(mutant)
        check_recording(tmp_path / "r.json")

    assert min(survey(read, (mutations.npz_mutant(random, ARRAYS, evil) for _ in range(MUTANTS))).values()) > 50
    assert not (tmp_path / "executed").exists()


def test_configuration(tmp_path, make_config):
    config = make_config()
    run = {**provenance(config, "a test"), "data_dir": "/data", "fingerprint": CONTENT}
    file, random = tmp_path / RUN_FILE, np.random.RandomState(0)

    def read(mutant):
        file.write_bytes(mutant)
        found = read_config(file)
        check(found)
        assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()
        if found == config:
            require_same_run(config, CONTENT, file)

    assert min(survey(read, (mutations.json_mutant(random, run) for _ in range(2 * MUTANTS))).values()) > 100


def check(config: Config):
    """Every field is of its type, and numbers are finite."""
    for field in ("name", "checkpoint_name", "dataset", "scaling", "model", "variant", "batch_norm"):
        assert type(getattr(config, field)) is str
    for field in ("epochs", "batch_size", "seed"):
        assert type(getattr(config, field)) is int
    assert config.steps_per_epoch is None or type(config.steps_per_epoch) is int
    assert len(config.image_shape) == 3 and all(type(n) is int and n > 0 for n in config.image_shape)
    assert all(type(n) is int for n in (config.latent.noise, config.latent.categories, config.latent.continuous))
    for field in dataclasses.fields(config.hyper):
        value = getattr(config.hyper, field.name)
        assert type(value) in (bool, int, float, type(None), str)
        assert field.type is not bool or type(value) is bool
        assert type(value) not in (int, float) or np.isfinite(np.float64(value))


def test_a_saved_configuration_is_compared_whatever_it_holds(tmp_path, make_config):
    config = make_config()
    run = {**provenance(config, "a test"), "data_dir": "/data", "fingerprint": CONTENT}
    file, random = tmp_path / RUN_FILE, np.random.RandomState(1)

    def read(mutant):
        file.write_bytes(mutant)
        require_same_run(config, CONTENT, file)

    assert min(survey(read, (mutations.json_mutant(random, run) for _ in range(MUTANTS))).values()) > 20


@pytest.mark.parametrize(
    "field, value",
    [
        ("batch_size", 2.5),
        ("learning_rate", True),
        ("learning_rate", 10**400),
        ("image_shape", [28, 28]),
        ("name", 5),
        ("name", "../evil"),
        ("name", ".."),
        ("name", ""),
        ("checkpoint_name", "/evil"),
        ("checkpoint_name", "a\0"),
        ("latent", None),
        ("seed", "1"),
        ("epochs", False),
        ("adam_beta1", float("nan")),
        ("image_shape", [28, 28, 10**9]),
    ],
    ids=str,
)
def test_a_value_of_another_type_or_range_is_refused(tmp_path, make_config, field, value):
    settings = make_config().to_dict()
    (settings["hyper"] if field in settings["hyper"] else settings)[field] = value
    (tmp_path / RUN_FILE).write_text(json.dumps({"config": settings, "data": "x"}))
    with pytest.raises(UserError, match=f"{RUN_FILE} is damaged, or was written by another version"):
        read_config(tmp_path / RUN_FILE)
