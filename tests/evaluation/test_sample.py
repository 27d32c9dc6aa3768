"""The command `sample`: which latents it takes, and what it writes."""

import json

import numpy as np
import pytest

from common.config import LatentSpec
from common.errors import UserError
from common.evaluation.sample import read_latents, sample
from common.models import registry
from common.nn.distributions import Latents
from helpers.systems import make_config

SPEC = LatentSpec(noise=7, categories=4, continuous=3)
Z, D, C, U = (np.random.RandomState(0).uniform(-1, 1, (6, n)).astype(np.float32) for n in (7, 4, 3, 7))


def test_images_are_g_of_given_latents(tmp_path):
    system = registry.build(make_config(width=0.125, latent=SPEC), training=False)
    np.savez(tmp_path / "latents.npz", z=Z, d=D, c=C)
    sample(system, "a checkpoint", tmp_path / "latents.npz", tmp_path / "images.npz")
    written = np.load(tmp_path / "images.npz")
    np.testing.assert_allclose(written["G"], system.generate(Latents(Z, D, C)), atol=1e-6)
    assert json.loads(str(written["provenance"]))["data"] == "a checkpoint"


def test_codes_may_come_as_one_array(tmp_path):
    np.savez(tmp_path / "latents.npz", z=Z, u=U)
    latents = read_latents(tmp_path / "latents.npz", SPEC)
    for got, wanted in zip(latents, (Z, U[:, :4], U[:, 4:]), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_latents_of_length_0_need_no_array(tmp_path):
    np.savez(tmp_path / "latents.npz", c=C)
    assert [part.shape for part in read_latents(tmp_path / "latents.npz", LatentSpec(0, 0, 3))] == [
        (6, 0),
        (6, 0),
        (6, 3),
    ]


@pytest.mark.parametrize(
    "arrays, words",
    [
        ({"z": Z}, "lacks d, c"),
        ({"z": Z[:, 1:], "u": U}, r"z must be numbers \[n, 7\]"),
        ({"z": Z, "u": U[1:]}, "z has 6 rows, u has 5 rows"),
        ({"z": np.full((3, 7), np.nan), "u": U}, "not finite"),
        ({"z": np.full((3, 7), 1e300), "u": U}, "not finite"),
        ({"z": np.array([[{}]], object), "u": U}, "is not a readable"),
    ],
)
def test_bad_latents_are_refused(tmp_path, arrays, words):
    np.savez(tmp_path / "latents.npz", **arrays)
    with pytest.raises(UserError, match=words):
        read_latents(tmp_path / "latents.npz", SPEC)
