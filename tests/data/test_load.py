"""Which data a run gets: what was named, else real data where there is any, else the stand-in, and never one for another."""

import socket
import threading

import numpy as np
import pytest

from common.data import mnist, tfds
from common.data.load import load_dataset
from common.errors import UserError
from common.options import Cache, default_cache_folder

DATASETS = ("mnist", "chairs", "celeba", "dsprites")


@pytest.fixture(autouse=True)
def empty_machine(tmp_path, monkeypatch):
    """A machine without data and without network."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setattr(tfds, "_reachable", lambda: False)


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


def save_mnist(path, count=9):
    """A small real MNIST at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images, labels = np.full((count, 28, 28), 7, np.uint8), np.arange(count) % 10
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return path


@pytest.mark.parametrize("name", DATASETS)
def test_without_data_auto_says_so_and_takes_the_stand_in(make_config, cache, name, capsys):
    dataset = load_dataset(make_config(dataset=name, name="InfoVAE_X"), None, "auto", cache)
    out = capsys.readouterr().out
    assert dataset.synthetic
    assert "NO REAL DATA" in out
    assert "--data-dir FOLDER" in out and "InfoVAE_X-synthetic" in out
    assert "Looked in: " in out and "no download" in out
    assert not cache.folder.exists()


@pytest.mark.parametrize("name", DATASETS)
def test_without_data_real_is_an_error(make_config, cache, name, capsys):
    with pytest.raises(UserError, match="no real data: not in .*no download.*--data-dir") as error:
        load_dataset(make_config(dataset=name), None, "real", cache)
    assert "\n" not in str(error.value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("mode", ["auto", "real"])
def test_named_data_that_is_missing_is_an_error(make_config, cache, name, mode, tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path}/nowhere does not exist"):
        load_dataset(make_config(dataset=name), tmp_path / "nowhere", mode, cache)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=f"in {tmp_path}/empty: it should"):
        load_dataset(make_config(dataset=name), tmp_path / "empty", mode, cache)


@pytest.mark.parametrize("name", DATASETS)
def test_synthetic_by_flag_needs_no_banner_and_looks_nowhere(make_config, cache, name, capsys, monkeypatch):
    monkeypatch.setattr(tfds, "data_dir", None)
    assert load_dataset(make_config(dataset=name), None, "synthetic", cache).synthetic
    assert capsys.readouterr().out == ""


def test_synthetic_by_flag_and_a_folder_exclude_each_other(make_config, cache, tmp_path):
    with pytest.raises(UserError, match="exclude each other"):
        load_dataset(make_config(), tmp_path, "synthetic", cache)


@pytest.mark.parametrize("mode", ["auto", "real"])
def test_named_data_is_taken(make_config, cache, tmp_path, mode):
    save_mnist(tmp_path / "home" / ".keras" / "datasets" / "mnist.npz", 9)
    path = save_mnist(tmp_path / "here" / "mnist.npz", 8)
    dataset = load_dataset(make_config(), path.parent, mode, cache)
    assert (len(dataset.train), dataset.synthetic, dataset.source) == (8, False, str(path))


@pytest.mark.parametrize("mode", ["auto", "real"])
def test_real_data_in_the_usual_place_is_taken(make_config, cache, tmp_path, mode, capsys):
    path = save_mnist(tmp_path / "home" / ".keras" / "datasets" / "mnist.npz")
    dataset = load_dataset(make_config(), None, mode, cache)
    assert (dataset.source, dataset.synthetic) == (str(path), False)
    assert capsys.readouterr().out == ""


def test_broken_data_in_the_usual_place_is_an_error(make_config, cache, tmp_path):
    path = tmp_path / "home" / ".keras" / "datasets" / "mnist.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"broken")
    with pytest.raises(UserError, match=str(path)):
        load_dataset(make_config(), None, "auto", cache)


def test_a_download_comes_before_the_stand_in(make_config, cache, monkeypatch):
    monkeypatch.setattr(mnist, "download", lambda cache: "downloaded")
    assert load_dataset(make_config(), None, "auto", cache) == "downloaded"


def test_a_network_that_answers_nobody_is_given_up(monkeypatch):
    """Name resolution itself may block, for longer than any timeout that can be set on it."""
    monkeypatch.undo()
    released = threading.Event()

    def block(address, timeout):
        released.wait()
        raise OSError

    monkeypatch.setattr(socket, "create_connection", block)
    monkeypatch.setattr(tfds, "_PATIENCE", 0.05)
    with pytest.raises(UserError, match="no download: storage.googleapis.com was not reached within"):
        tfds.download("mnist")
    released.set()


def test_patience_is_under_5_seconds():
    assert tfds._PATIENCE < 5


def test_a_failing_download_is_one_line(monkeypatch):
    import tensorflow_datasets

    def fail(*args, **kwargs):
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(tfds, "_reachable", lambda: True)
    monkeypatch.setattr(tensorflow_datasets, "builder", fail)
    with pytest.raises(UserError, match="^the download of mnist by TFDS failed: RuntimeError: first line$"):
        tfds.download("mnist")


def test_the_cache_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert default_cache_folder() == tmp_path / "x" / "infovaegan"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache_folder() == tmp_path / "home" / ".cache" / "infovaegan"
