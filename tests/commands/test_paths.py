"""Paths as people and systems make them: spaces, other scripts, newlines, glob characters and leading dashes, for every
flag that takes one.
"""

import gzip
import pathlib
import runpy
import struct
import typing

import numpy as np
import pytest
import tensorflow as tf

from common import flags
from common.data import chairs, mnist, tfds
from common.data.entries import Entry
from common.errors import UserError
from common.evaluation import sample
from common.io.atomic import write_json
from common.io.npz import read_npz
from common.options import Cache
from common.tf1 import checkpoints as tf1_checkpoints
from common.training.checkpoints import Checkpoints
from helpers import mutations
from helpers.images import VIEWS, encoded, tar
from helpers.paths import ROOT
from helpers.prepared import store_mnist

pytestmark = pytest.mark.fast

CONFIG = runpy.run_path(str(ROOT / "InfoVAE_MNIST.py"))["CONFIG"]
NAMES = ["with spaces ", "ünï → 字", "new\nline", "-dash", "--out", "[a]*?{b}", "'\"$HOME`", "%s %d {0}", "~"]
WORST = "-w [a]*\nünï?"


@pytest.fixture(params=NAMES, ids=ascii)
def odd(request, tmp_path, monkeypatch):
    """A folder of such a name, as a relative path, so that a leading dash is one."""
    monkeypatch.chdir(tmp_path)
    pathlib.Path(request.param).mkdir()
    return pathlib.Path(request.param)


@pytest.mark.parametrize(
    "flag", ["--data-dir", "--cache-dir", "--out", "--latents", "--checkpoint", "--tf1-checkpoint"]
)
@pytest.mark.parametrize("name", NAMES[:-1], ids=ascii)  # Not ~, which is the home folder.
def test_every_flag_takes_it(flag, name):
    command = "sample" if flag in ("--latents", "--checkpoint") else "train"
    given, rest = flags.parser(command, CONFIG, "", tf1=True).parse_known_args([f"{flag}={name}"])
    assert str(vars(given)[flag]) == name and not rest


def test_every_flag_takes_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for command in flags.COMMANDS:
        for _, group in flags.groups(command, CONFIG, (), tf1=False):
            for flag in group:
                if pathlib.Path in (flag.kind, *typing.get_args(flag.kind)):
                    given, _ = flags.parser(command, CONFIG, "").parse_known_args([f"{flag.flag}=~/x"])
                    assert vars(given)[flag.flag] in (tmp_path / "x", [tmp_path / "x"])


def test_data(odd):
    images, labels = np.eye(28, dtype=np.uint8)[None].repeat(2, 0), np.array([3, 4], np.uint8)
    np.savez(odd / "mnist.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    assert len(mnist.read(odd, None).train) == len(mnist.read(odd / "mnist.npz", None).train) == 2
    with gzip.open(odd / "x.gz", "wb") as file:
        file.write(struct.pack(">2I", 0x801, 2) + labels.tobytes())
    assert mnist.read_idx(Entry("x.gz", str(odd / "x.gz")), 1).tolist() == [3, 4]


def test_images_and_their_cache(odd, monkeypatch):
    monkeypatch.setattr(chairs, "CROP", 16)
    monkeypatch.setattr(chairs, "SIZE", 8)
    (odd / "rendered_chairs.tar").write_bytes(tar([(name, encoded("PNG")) for name in VIEWS]))
    for cache in (Cache(odd / "cache"), Cache(odd / "cache"), Cache(None, False)):  # Filled, used, and none.
        assert chairs.read(odd, cache).train.take(0, 3).shape == (3, 8, 8, 3)
    folder = odd / "chair" / "renders"
    folder.mkdir(parents=True)
    (odd / "rendered_chairs.tar").unlink()
    (folder / f"image_000{odd.name}.png").write_bytes(encoded("PNG"))
    assert len(chairs.read(odd, Cache(None, False)).train) == 1


def test_latents_and_results(odd, make_config):
    np.savez(odd / "l.npz", z=np.zeros((2, 7)), u=np.zeros((2, 7)))
    latents = sample.read_latents(odd / "l.npz", make_config().latent)
    assert [part.shape for part in latents] == [(2, 7), (2, 4), (2, 3)]
    write_json({"a": 1}, odd / f"{odd.name}.json")
    assert (odd / f"{odd.name}.json").read_text() == '{\n  "a": 1\n}\n'


def test_what_tfds_prepared(tmp_path):
    folder = store_mnist(tmp_path / WORST, np.zeros((3, 28, 28), np.uint8), [1, 2, 3])
    images, labels = tfds.read_arrays(folder, "train", ("image", "label"))
    assert images.shape == (3, 28, 28, 1) and sorted(labels) == [1, 2, 3]
    assert [len(list(tfds.examples(folder, split, encoded="image"))) for split in ("train", "test")] == [3, 3]


def test_checkpoints(system, tmp_path):
    folder = tmp_path / WORST
    folder.mkdir()
    checkpoints = Checkpoints(system, folder, "tiny")
    checkpoints.save()
    system.step.assign(5)
    checkpoints.save()
    system.step.assign(0)
    checkpoints.restore_latest()
    assert int(system.step.numpy()) == 5


def test_tf1_checkpoints(system, tmp_path):
    prefix = str(tmp_path / WORST / "tf1")
    tf1_checkpoints.save(system, prefix)
    bias = system.networks["encoder"].layers[1].bias
    wanted = bias.numpy().copy()
    bias.assign(tf.ones_like(bias))
    tf1_checkpoints.load(system, prefix)
    np.testing.assert_array_equal(bias, wanted)


@pytest.mark.parametrize("name", ["new\nline", "\x1b[31mred", "\udcff"], ids=ascii)
def test_what_is_said_of_it_is_one_line_of_what_can_be_printed(name):
    with pytest.raises(UserError) as error:
        read_npz(pathlib.Path(name), 1)
    assert str(error.value).isprintable() and ascii(name)[1:-1] in str(error.value)


def test_the_same_of_names_inside_files(tmp_path):
    evil = f"a\n\x1b[31m/../renders/{pathlib.Path(VIEWS[0]).name}"
    (tmp_path / "x.tar").write_bytes(tar([(evil, b"x")]))
    with mutations.limits(), pytest.raises(UserError) as error:
        chairs.read(tmp_path / "x.tar", Cache(None, False))
    assert str(error.value).isprintable()
