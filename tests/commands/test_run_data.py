"""Which data and which run a command uses: the run's own data, unless a flag names other data."""

import os
import pathlib

import numpy as np
import pytest

from common.data.dataset import Dataset, Split
from common.data.fingerprint import fingerprint
from common.errors import UserError
from common.options import Options, TrainingOptions
from common.run_data import absolute, load_data, require_own_data
from common.run_folders import find_run, run_to_resume, trained_folder

pytestmark = pytest.mark.fast

FILE = pathlib.Path("models/tiny/run.json")
NOISE = Dataset("noise", Split(np.zeros((3, 2, 2, 1), np.uint8)))
OTHER = Dataset("/other", Split(np.ones((3, 2, 2, 1), np.uint8)))


def run(name="tiny", data="/gone/mnist.npz", data_dir=None, content=NOISE):
    """What run.json says."""
    found = None if content is None else fingerprint(content)
    return {"config": {"name": name}, "data": data, "data_dir": data_dir, "fingerprint": found}


def loaded(run, make_config, **options):
    """(data_dir, mode) that the data is loaded with."""
    load = lambda config, data_dir, mode, cache: (data_dir, mode)  # noqa: E731
    return load_data(make_config(), Options(**options), load, run, FILE)


@pytest.mark.parametrize("spelling", [".", "../data", "link", "link/", "x/../link", "{}", "x/.."])
def test_every_spelling_of_a_folder_is_one_place(tmp_path, monkeypatch, spelling):
    (tmp_path / "data" / "x").mkdir(parents=True)
    (tmp_path / "data" / "link").symlink_to(tmp_path / "data")
    monkeypatch.chdir(tmp_path / "data")
    found = absolute(pathlib.Path(spelling.format(tmp_path / "data")))
    assert found.is_absolute() and found.samefile(tmp_path / "data") and ".." not in found.parts


def test_the_last_name_of_a_link_stays_and_a_missing_path_too(tmp_path, monkeypatch):
    (tmp_path / "blob").touch()
    (tmp_path / "mnist.npz").symlink_to("blob")
    monkeypatch.chdir(tmp_path)
    assert absolute(pathlib.Path("mnist.npz")) == tmp_path / "mnist.npz"
    assert absolute(pathlib.Path("nowhere")) == pathlib.Path("nowhere")


def test_a_run_brings_its_data(make_config, tmp_path):
    (tmp_path / "mnist.npz").touch()
    found = tmp_path / "mnist.npz"
    assert loaded(run(data_dir=str(tmp_path)), make_config) == (tmp_path, "real")
    assert loaded(run(data_dir=str(tmp_path)), make_config, data="real") == (tmp_path, "real")
    assert loaded(run(data=str(found)), make_config) == (found, "real")  # Found without --data-dir.
    assert loaded(run(), make_config) == (None, "real")  # Never synthetic, wherever it is looked for.
    assert loaded(run("tiny-synthetic"), make_config) == (None, "synthetic")


def test_flags_name_other_data(make_config, tmp_path):
    assert loaded(run(data_dir="/gone"), make_config, data_dir=tmp_path) == (tmp_path, "auto")
    assert loaded(run(data_dir="/gone"), make_config, data="synthetic") == (None, "synthetic")
    assert loaded(run("tiny-synthetic"), make_config, data="real") == (None, "real")
    assert loaded(None, make_config) == (None, "auto")


def test_data_that_is_gone_is_named(make_config):
    with pytest.raises(UserError, match=r"data of this run should be in /gone \(.*run.json\): put it back, or name it"):
        loaded(run(data_dir="/gone"), make_config)


def test_data_that_cannot_be_read_is_named_with_the_run(make_config):
    def load(*_):
        raise UserError("no MNIST")

    with pytest.raises(UserError, match=r"no MNIST; the run was trained on /gone/mnist.npz .*: name its data with"):
        load_data(make_config(), Options(), load, run(), FILE)
    with pytest.raises(UserError, match="^no MNIST$"):
        load_data(make_config(), Options(data="synthetic"), load, run(), FILE)


def test_changed_data_is_refused_unless_it_was_named(caplog):
    caplog.set_level("INFO", "common")
    said = r"/other is not the data that this run was trained on: other training images \(.*run.json\): put it back"
    with pytest.raises(UserError, match=said):
        require_own_data(OTHER, Options(), run(), FILE)
    assert not caplog.text
    require_own_data(OTHER, Options(data_dir=pathlib.Path("x")), run(), FILE)
    assert "Note: not the data that this run was trained on, which was /gone/mnist.npz: other training" in caplog.text
    caplog.clear()
    require_own_data(NOISE, Options(), run(), FILE)
    require_own_data(OTHER, Options(), run(content=None), FILE)  # Of an earlier version.
    assert not caplog.text


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """`trained(*names)`: leaves a checkpoint in the folder of each; the working folder is --out."""
    monkeypatch.chdir(tmp_path)

    def make(*names):
        for name in names:
            folder = pathlib.Path("models", name)
            folder.mkdir(parents=True)
            (folder / f"{name}-3.index").touch()

    return make


@pytest.mark.parametrize(
    ("names", "options", "found"),
    [
        (("tiny", "tiny-synthetic"), {}, "tiny"),
        (("tiny-synthetic",), {}, "tiny-synthetic"),
        (("tiny-synthetic",), {"data": "real"}, None),
        (("tiny-synthetic",), {"data_dir": pathlib.Path("x")}, None),
        (("tiny",), {"data": "synthetic"}, None),
        ((), {}, None),
    ],
)
def test_the_run_on_real_data_comes_first(trained, make_config, names, options, found):
    trained(*names)
    folder = find_run(make_config(), Options(**options))
    assert (folder and folder.name) == found


def test_a_run_on_other_data_is_named(trained, make_config):
    with pytest.raises(UserError, match=r"no trained run in models/tiny: train first \(python tiny.py\), or name"):
        trained_folder(make_config(), Options(data="real"))
    trained("tiny-synthetic")
    with pytest.raises(UserError, match="no trained run in models/tiny: --checkpoint models/tiny-synthetic names the"):
        trained_folder(make_config(), Options(data="real"))


def test_auto_resumes_what_is_there(trained, make_config):
    auto, must, new = (TrainingOptions(resume=resume) for resume in ("auto", True, False))
    assert run_to_resume(make_config(), auto) is None
    with pytest.raises(UserError, match="nothing to resume: there is no checkpoint in models/tiny: .* --resume auto"):
        run_to_resume(make_config(), must)
    os.makedirs("models/tiny/.saving")  # Killed while it saved its first checkpoint.
    pathlib.Path("models/tiny/tiny-3.data-00000-of-00001").touch()
    assert run_to_resume(make_config(), auto) is None
    pathlib.Path("models/tiny/tiny-3.index").touch()
    assert [run_to_resume(make_config(), each) for each in (auto, must, new)] == [pathlib.Path("models/tiny")] * 2 + [
        None
    ]
