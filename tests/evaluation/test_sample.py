"""The command `sample`: which latents it takes, and what it writes."""

import json
import os
import pathlib
import types

import numpy as np
import pytest
from PIL import Image

from common.config import LatentSpec
from common.errors import UserError
from common.evaluation.sample import draw_latents, read_latents, sample
from common.models import registry
from common.nn.distributions import Latents
from common.sample_options import SampleOptions
from helpers.systems import make_config

SPEC = LatentSpec(noise=7, categories=4, continuous=3)
Z, D, C, U = (np.random.RandomState(0).uniform(-1, 1, (6, n)).astype(np.float32) for n in (7, 4, 3, 7))


@pytest.fixture(scope="module")
def small():
    """A system of little width, at its initial weights and averages."""
    return registry.build(make_config(width=0.125, latent=SPEC, batch_norm="moving"), training=False)


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """The statistics that were asked for; the system itself stands for all of them, since a copy takes seconds."""
    kinds = []

    def statistics(system, dataset):
        return types.SimpleNamespace(under=lambda kind=None: (kinds.append(kind), system)[1])

    monkeypatch.setattr("common.evaluation.sample.Statistics", statistics)
    return kinds


def drawn(small, out, **options):
    """What `sample` writes to an .npz file."""
    return np.load(sample(small, "a checkpoint", SampleOptions(out=out / "drawn.npz", **options)))


def test_images_are_g_of_given_latents(small, tmp_path, asked):
    np.savez(tmp_path / "latents.npz", z=Z, d=D, c=C)
    written = drawn(small, tmp_path, latents=tmp_path / "latents.npz")
    np.testing.assert_allclose(written["G"], small.generate(Latents(Z, D, C)), atol=1e-6)
    np.testing.assert_array_equal(written["d"], D)
    assert asked == [None]  # The run's own statistics, as in the original.
    assert json.loads(str(written["provenance"]))["data"] == "a checkpoint"


def test_the_first_images_of_a_longer_list_are_the_same(small, tmp_path, asked):
    many, few = (dict(drawn(small, tmp_path, count=count, seed=5)) for count in (11, 3))
    for name in "zdc":
        np.testing.assert_array_equal(many[name][:3], few[name])
    np.testing.assert_allclose(many["G"][:3], few["G"], atol=1e-6)
    assert many["G"].shape == (11, 28, 28, 1) and asked == ["standing"] * 2
    assert not np.array_equal(few["z"], drawn(small, tmp_path, count=3, seed=6)["z"])


def test_a_category_is_that_of_all_images(small, tmp_path):
    np.testing.assert_array_equal(drawn(small, tmp_path, count=5, category=2)["d"], np.eye(4)[[2] * 5])
    with pytest.raises(UserError, match="--category must be below 4, .*, got 4"):
        draw_latents(small, 5, 0, category=4)


def test_a_folder_has_one_picture_per_image(small, tmp_path):
    sample(small, "a checkpoint", SampleOptions(out=tmp_path / "images", count=11))
    names = [f"{i:02d}.png" for i in range(11)]
    assert sorted(os.listdir(tmp_path / "images")) == [*names, "samples.json"]
    wanted = np.rint(drawn(small, tmp_path, count=11)["G"][10, :, :, 0] * 255)
    np.testing.assert_array_equal(Image.open(tmp_path / "images" / "10.png"), wanted)
    with pytest.raises(UserError, match="images is not empty: name another"):
        sample(small, "a checkpoint", SampleOptions(out=tmp_path / "images", count=1))
    assert sorted(os.listdir(tmp_path)) == ["drawn.npz", "images"]


def test_a_picture_comes_with_the_source_of_its_images(small, tmp_path):
    sample(small, "a checkpoint", SampleOptions(out=tmp_path / "grid.png", count=3, seed=9))
    assert Image.open(tmp_path / "grid.png").mode == "L"
    facts = json.loads((tmp_path / "grid.png.json").read_text())
    assert facts["data"] == "a checkpoint" and facts["codes"]["seed"] == 9


def test_without_a_name_the_picture_is_among_the_results(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sample(small, "a checkpoint", SampleOptions(count=1)).resolve() == tmp_path / "results/tiny/samples.png"


@pytest.mark.parametrize(
    "options, words",
    [
        ({"latents": pathlib.Path("l.npz"), "seed": 0}, "--latents cannot be combined with --seed"),
        ({"count": 0}, "--count must be at least 1"),
        ({"count": 10**9}, "--count must be at most 100000"),
        ({"seed": 2**31}, "--seed must be below"),
        ({"out": pathlib.Path("x.tif")}, r"--out must end in .png, .jpg, .pdf, .npz, or be a folder, got x.tif"),
        ({"checkpoint": pathlib.Path("a"), "tf1_checkpoint": "b"}, "--checkpoint cannot be combined"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, words):
    with pytest.raises(UserError, match=words):
        SampleOptions(**options)


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
