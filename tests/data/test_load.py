"""Which data a run gets: --data-dir, else real data if there is any, else synthetic data, and never one for another."""

import socket
import threading

import numpy as np
import pytest

from common.data import mnist, tfds
from common.data.load import load_dataset
from common.errors import UserError
from common.options import Cache, default_cache_folder

pytestmark = pytest.mark.fast

DATASETS = ("mnist", "chairs", "celeba", "dsprites")


@pytest.fixture(autouse=True)
def empty_machine(tmp_path, monkeypatch):
    """A machine without data and without a network."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setattr(tfds, "_reachable", lambda: False)


@pytest.fixture
def load(make_config, tmp_path):
    """`load(mode, data_dir, name)` with a cache, which must stay empty unless a test fills it."""

    def load(mode, data_dir=None, dataset="mnist"):
        return load_dataset(make_config(dataset=dataset, name="InfoVAE_X"), data_dir, mode, Cache(tmp_path / "cache"))

    return load


def save_mnist(path, count=9):
    """Write a small real MNIST to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images, labels = np.zeros((count, 28, 28), np.uint8), np.arange(count) % 10
    images[:, 9] = 7
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return path


@pytest.mark.parametrize("name", DATASETS)
def test_synthetic_data_replaces_missing_data(load, name, caplog, tmp_path):
    assert load("auto", dataset=name).synthetic
    (said,) = caplog.messages
    assert "NO REAL DATA" in said
    assert "--data-dir FOLDER" in said and "InfoVAE_X-synthetic" in said
    assert "Looked in: " in said and "no download" in said
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", DATASETS)
def test_missing_data_is_an_error_with_data_real(load, name, caplog):
    with pytest.raises(UserError, match="no real data: not in .*no download.*--data-dir") as error:
        load("real", dataset=name)
    assert "\n" not in str(error.value)
    assert caplog.messages == []


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("mode", ["auto", "real"])
def test_missing_data_dir_is_an_error(load, name, mode, tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path}/nowhere does not exist"):
        load(mode, tmp_path / "nowhere", name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=f"in {tmp_path}/empty: it is empty; it should"):
        load(mode, tmp_path / "empty", name)


@pytest.mark.parametrize("name", ["cache", "synthetic.digits", "nonsense", "", "../mnist"])
def test_what_is_no_data_set_is_refused(load, name):
    with pytest.raises(UserError, match=f"there is no data set {name}: the configuration must name one"):
        load("synthetic", dataset=name)


@pytest.mark.parametrize("name", DATASETS)
def test_data_synthetic_says_and_searches_nothing(load, name, caplog, monkeypatch):
    monkeypatch.setattr(tfds, "data_dir", None)
    assert load("synthetic", dataset=name).synthetic
    assert caplog.messages == []


def test_data_synthetic_excludes_data_dir(load, tmp_path):
    with pytest.raises(UserError, match="--data synthetic and --data-dir exclude each other"):
        load("synthetic", tmp_path)


@pytest.mark.parametrize("mode", ["auto", "real"])
def test_data_dir_precedes_default_paths(load, tmp_path, mode, caplog):
    default = save_mnist(tmp_path / "home" / ".keras" / "datasets" / "mnist.npz", 9)
    path = save_mnist(tmp_path / "here" / "mnist.npz", 8)
    for data_dir, source, count in ((path.parent, path, 8), (None, default, 9)):
        dataset = load(mode, data_dir)
        assert (len(dataset.train), dataset.synthetic, dataset.source) == (count, False, str(source))
    assert caplog.messages == []


def test_broken_data_in_a_default_path_is_an_error(load, tmp_path):
    path = save_mnist(tmp_path / "home" / ".keras" / "datasets" / "mnist.npz")
    path.write_bytes(b"broken")
    with pytest.raises(UserError, match=str(path)):
        load("auto")


def test_download_precedes_synthetic_data(load, monkeypatch):
    monkeypatch.setattr(mnist, "download", lambda cache: "downloaded")
    assert load("auto") == "downloaded"


def test_blocking_network_is_given_up(monkeypatch):
    """Name resolution itself may block, for longer than any timeout of a socket."""
    assert tfds._TIMEOUT_S < 5
    monkeypatch.undo()
    released = threading.Event()

    def block(address, timeout):
        released.wait()
        raise OSError

    monkeypatch.setattr(socket, "create_connection", block)
    monkeypatch.setattr(tfds, "_TIMEOUT_S", 0.05)
    with pytest.raises(UserError, match="no download: storage.googleapis.com could not be reached within"):
        tfds.download("mnist")
    released.set()


def test_failing_download_is_one_line(monkeypatch):
    import tensorflow_datasets

    def fail(*args, **kwargs):
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(tfds, "_reachable", lambda: True)
    monkeypatch.setattr(tensorflow_datasets, "builder", fail)
    with pytest.raises(UserError, match="^the download of mnist by TFDS failed: RuntimeError: first line$"):
        tfds.download("mnist")


def test_cache_folder_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert default_cache_folder() == tmp_path / "x" / "infovaegan"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache_folder() == tmp_path / "home" / ".cache" / "infovaegan"
