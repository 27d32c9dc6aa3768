"""Runs: run.json, which run `evaluate` and `figures` open, what they leave, and the user's mistakes."""

import contextlib
import dataclasses
import json
import os
import pathlib
import re

import numpy as np
import pytest

from common import cli, commands, run_folders, run_json, runs
from common.config import LatentSpec
from common.data import mnist as mnist_module
from common.data.dataset import Dataset, Split
from common.data.fingerprint import fingerprint
from common.data.load import load_dataset
from common.errors import UserError
from common.evaluation.opening import saved_statistics
from common.io.atomic import write_json
from common.nn.layers import plain
from common.options import Cache, Options, RunFolders, TrainingOptions
from common.run_json import provenance, read_config, read_run, require_same_run
from common.training.checkpoints import Checkpoints
from helpers.paths import ROOT

# run.json


CONTENT = fingerprint(Dataset("digits", Split(np.zeros((3, 2, 2, 1), np.uint8))))


@pytest.fixture
def run_file(make_config, tmp_path):
    """The file of a run of `make_config()` on "digits"."""
    write_json({**provenance(make_config(), "digits"), "fingerprint": CONTENT}, tmp_path / "run.json")
    return tmp_path / "run.json"


def test_provenance_names_configuration_data_and_versions(make_config):
    result = provenance(make_config(), "some data")
    assert result["config"] == make_config().to_dict()
    assert result["data"] == "some data"
    assert result["versions"].keys() == {"python", *run_json.PACKAGES}
    assert all(version[0].isdigit() for version in result["versions"].values())


def test_a_missing_package_is_said_to_be(monkeypatch):
    monkeypatch.setattr(run_json, "PACKAGES", ("no-such-package-of-ours",))
    assert run_json.package_versions()["no-such-package-of-ours"] == "not installed"


def test_a_run_comes_back_from_its_file(make_config, run_file):
    assert read_config(run_file) == make_config()
    unknown = {"data_dir": None, "start": None, "step": None}
    known = {"config": make_config().to_dict(), "data": "digits", "fingerprint": CONTENT}
    assert read_run(run_file) == {**known, **unknown}


def test_a_run_may_resume_for_longer(make_config, run_file):
    require_same_run(make_config(), CONTENT, run_file)
    assert require_same_run(make_config(epochs=20, steps_per_epoch=5), CONTENT, run_file) == read_run(run_file)


@pytest.mark.parametrize(
    ("field", "saved", "wanted"),
    [
        ("seed", 0, 1),
        ("batch_size", 8, 16),
        ("learning_rate", 2e-4, 1e-4),
        ("image_shape", [28, 28, 1], (32, 32, 3)),
        ("batch_norm", "batch", "moving"),
        ("variant", "code", "paper"),
        ("first_batch_norm", False, True),
        ("learning_rate_half_life", None, 500),
        ("latent", {"noise": 7, "categories": 4, "continuous": 3}, LatentSpec(7, 4, 2)),
    ],
)
def test_a_different_run_is_refused_with_both_values(make_config, run_file, field, saved, wanted):
    now = {tuple: list, LatentSpec: dataclasses.asdict}.get(type(wanted), lambda value: value)(wanted)
    with pytest.raises(UserError) as error:
        require_same_run(make_config(**{field: wanted}), CONTENT, run_file)
    assert f"{field} was {saved} in the saved run and is {now} now ({run_file})" in str(error.value)


def test_other_data_is_a_different_run(make_config, run_file):
    other = fingerprint(Dataset("letters", Split(np.ones((3, 2, 2, 1), np.uint8))))
    said = "cannot resume: the data has changed: other training images. The run was trained on digits"
    with pytest.raises(UserError, match=said):
        require_same_run(make_config(), other, run_file)


def test_an_earlier_version_did_not_say_what_its_data_was(make_config, run_file):
    write_json(provenance(make_config(), "letters"), run_file)
    assert require_same_run(make_config(), CONTENT, run_file)["fingerprint"] is None


DAMAGED = {
    "empty": b"", "cut off": b"{", "list": b"[]", "null": b"null", "number": b"3", "not text": b"\xff\xfe\x00",
    "deep": b"[" * 100_000, "no data": b'{"config": {}}', "no config": b'{"data": ""}',
    "config 3": b'{"config": 3, "data": ""}', "config ab": b'{"config": "ab", "data": ""}',
    "config list": b'{"config": [1, 2], "data": ""}', "folder 3": b'{"config": {}, "data": "", "data_dir": 3}',
    "fingerprint 3": b'{"config": {}, "data": "", "fingerprint": 3}',
}  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_run_file_is_named(make_config, tmp_path, content):
    file = tmp_path / "run.json"
    file.write_bytes(content)
    for read in (read_run, read_config, lambda path: require_same_run(make_config(), CONTENT, path)):
        with pytest.raises(UserError, match="is damaged") as error:
            read(file)
        assert str(file) in str(error.value) and "\n" not in str(error.value)


def test_a_missing_run_file_is_named(tmp_path):
    with pytest.raises(UserError, match="run.json not found"):
        read_run(tmp_path / "run.json")


@pytest.mark.parametrize(
    "changes",
    [
        {"latent": None},
        {"latent": {"noise": 3, "colours": 2}},
        {"image_shape": None},
        {"momentum": 0.9},
        {"epochs": "two"},
        {"hyper": None},
        {"hyper": {"critic_steps": 3}},
        {"model": "unheard-of"},
    ],
)
def test_a_run_file_of_another_version_is_said_to_be(make_config, tmp_path, changes):
    write_json({"config": {**make_config().to_dict(), **changes}, "data": "digits"}, tmp_path / "run.json")
    with pytest.raises(UserError, match="run.json is .*by another version"):
        read_config(tmp_path / "run.json")


# Opening runs


@pytest.fixture
def mnist(tmp_path):
    """A folder with a small mnist.npz."""
    random = np.random.RandomState(0)
    (tmp_path / "data").mkdir()
    np.savez(
        tmp_path / "data" / "mnist.npz",
        x_train=random.randint(0, 256, (40, 28, 28)).astype(np.uint8),
        y_train=np.arange(40) % 10,
        x_test=random.randint(0, 256, (20, 28, 28)).astype(np.uint8),
        y_test=np.arange(20) % 10,
    )
    return tmp_path / "data"


@pytest.fixture
def keep(system):
    """`keep(folder, step, **changes)`: saves the tiny system as a run at `step`; returns the checkpoint's path."""

    def save(folder, step=1, about_data=None, **changes):
        folder.mkdir(parents=True, exist_ok=True)
        system.step.assign(step)
        config = dataclasses.replace(system.config, **changes)
        about = {**provenance(config, "where it was trained"), "start": None, **(about_data or {})}
        write_json(about, folder / "run.json")
        return Checkpoints(system, folder, config.checkpoint_name).save()

    return save


def command(config, *arguments):
    return cli.main(config, "", [str(a) for a in arguments])


def test_both_commands_on_the_newest_checkpoint(keep, mnist, tmp_path, make_config):
    out = tmp_path / "out"
    keep(out / "models/tiny", 3)
    newest = keep(out / "models/tiny", 12)
    place = ("--quick", "--data-dir", mnist, "--no-cache", "--out", out)
    other = make_config(
        latent=LatentSpec(noise=5, categories=2, continuous=1), seed=8
    )  # The run's own configuration counts.
    assert command(other, "evaluate", *place) == 0
    metrics = json.loads((out / "results/tiny/metrics-quick.json").read_text())
    assert (metrics["checkpoint"], metrics["step"], metrics["trained_on"]) == (newest, 12, "where it was trained")
    assert metrics["data"] == str(mnist / "mnist.npz") and metrics["config"] == make_config().to_dict()
    assert {
        "accuracy",
        "accuracy_one_to_one",
        "accuracy_moving_statistics",
        "accuracy_standing_statistics",
        "category_agreement",
        "fid_classifier",
        "fid_classifier_floor",
        "kid_classifier",
        "reconstruction_error_per_value",
        "classifier_accuracy",
    } < metrics["metrics"].keys()
    assert all(np.isfinite(value) for value in metrics["metrics"].values())
    assert metrics["sizes"]["accuracy_test"] == metrics["sizes"]["fid_images_a_side"] == 20
    assert command(other, "figures", *place, "--also", out / "models/tiny") == 0
    pictures = json.loads((out / "results/tiny/figures.json").read_text())
    written = {path.name for path in (out / "results/tiny").iterdir()}
    assert pictures["step"] == 12 and pictures["figures"].keys() | {"metrics-quick.json", "figures.json"} == written
    assert [one["checkpoint"] for one in pictures["figures"]["figure_reconstructions.png"]["systems"]] == [
        newest,
        newest,
    ]


def open_(config, tmp_path, mnist, **changes):
    options = {"data_dir": mnist, "use_cache": False, "out": tmp_path / "out", **changes}
    return runs.open_with_data(config, Options(**options), load_dataset, commands.open_tf1)


def test_two_processes_may_try_the_same_folder(tmp_path, monkeypatch):
    """The other one is the first to remove the file."""
    write = runs.atomic_write

    @contextlib.contextmanager
    def write_and_lose(path):
        with write(path) as temporary:
            yield temporary
        path.unlink()

    monkeypatch.setattr(runs, "atomic_write", write_and_lose)
    runs.make_writable_folder(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_run_is_opened_with_its_own_data(keep, mnist, tmp_path, make_config):
    content = fingerprint(load_dataset(make_config(), mnist, "real", Cache(tmp_path, False)))
    keep(tmp_path / "out/models/tiny", about_data={"data_dir": str(mnist), "fingerprint": content})
    assert open_(make_config(), tmp_path, None).dataset.source == str(mnist / "mnist.npz")
    assert commands.describe(make_config(), Options(out=tmp_path / "out"))["data"] == "where it was trained"
    moved = mnist.rename(tmp_path / "moved")
    with pytest.raises(UserError, match=f"the data of this run should be in {mnist} .*: put it back, or name it"):
        open_(make_config(), tmp_path, None)
    assert open_(make_config(), tmp_path, moved).dataset.source == str(moved / "mnist.npz")
    moved.rename(mnist)
    arrays = dict(np.load(mnist / "mnist.npz"))
    arrays["x_test"][7, 3, 2] ^= 1
    np.savez(mnist / "mnist.npz", **arrays)
    with pytest.raises(UserError, match="not the data that this run was trained on: other test images"):
        open_(make_config(), tmp_path, None)
    assert not (tmp_path / "out/results").exists() or not list((tmp_path / "out/results").glob("*/*"))


def test_a_released_run_is_never_opened_with_synthetic_data(monkeypatch, tmp_path):
    """It is of an earlier version, which did not say what its data was."""
    monkeypatch.setattr(mnist_module, "default_paths", lambda: [tmp_path / "nowhere"])
    monkeypatch.setattr(mnist_module, "download", lambda cache: (_ for _ in ()).throw(UserError("no network")))
    (config, _), released = runs.load_script("InfoVAE_MNIST"), ROOT / "results/mnist/light"
    with pytest.raises(UserError, match="no network.*; the run was trained on mnist.npz .*--data-dir, or use --data"):
        open_(config, tmp_path, None, checkpoint=released)
    run = open_(config, tmp_path, None, data="synthetic", checkpoint=released)
    assert run.dataset.synthetic and run.results.name == "InfoVAE_MNIST-synthetic"


def test_open_run_takes_a_checkpoint_or_its_folder(keep, tmp_path):
    first, newest = keep(tmp_path / "run", 3), keep(tmp_path / "run", 12)
    assert runs.open_run(tmp_path / "run")[1] == newest
    system, path = runs.open_run(tmp_path / "run" / first.rsplit("/", 1)[1])
    assert (path, int(system.step), system.optimizers) == (first, 3, {})
    (tmp_path / "empty").mkdir()
    for missing in (tmp_path / "empty", tmp_path / "run" / "tiny-999", tmp_path / "none"):
        with pytest.raises(UserError, match=f"no checkpoint at {missing}: it should be"):
            runs.open_run(missing)


@pytest.fixture
def networks(system, tmp_path):
    """A folder of the tiny system's `.keras` files and its run.json, at step 7."""
    for name, network in system.networks.items():
        plain(network).save(tmp_path / f"{name}.keras")
    write_json({**provenance(system.config, "digits"), "step": 7}, tmp_path / "run.json")
    return tmp_path


def test_open_run_takes_a_folder_of_networks(system, networks):
    opened, path = runs.open_run(networks)
    assert (path, int(opened.step), opened.optimizers) == (str(networks), 7, {})
    for name, network in system.networks.items():
        for wanted, found in zip(network.get_weights(), opened.networks[name].get_weights(), strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_standing_averages_are_those_of_the_files_of_the_step(system, networks):
    system.step.assign(7)
    found = saved_statistics(system, None, str(networks)).under("standing").networks["generator"]
    for mine, theirs in zip(system.networks["generator"].get_weights(), found.get_weights(), strict=True):
        np.testing.assert_array_equal(theirs, mine)
    (networks / "tiny-8.index").touch()  # The run was resumed.
    assert runs.open_networks(networks) is None


def test_export_needs_no_data_if_the_networks_are_there(networks, monkeypatch, make_config, tmp_path):
    exported = []
    monkeypatch.setattr("common.evaluation.export.export", lambda *given: exported.extend(given))
    monkeypatch.setattr(commands, "load_dataset", None)
    assert command(make_config(), "export", "--checkpoint", networks, "--out", tmp_path / "out") == 0
    model, folder = exported
    assert folder == tmp_path / "out" / "results" / "tiny" / "export" and model.no_images is None


def test_export_loads_data_as_the_run_says(networks, monkeypatch, make_config, tmp_path, capsys):
    loaded = []
    monkeypatch.setattr(commands, "load_dataset", lambda config, *_: loaded.append(config))
    monkeypatch.setattr("common.evaluation.export.export", lambda *_: None)
    place = ("--checkpoint", networks, "--data-dir", tmp_path, "--out", tmp_path / "out")
    assert command(make_config(seed=8), "export", *place) == 0
    assert loaded == [make_config()]
    assert command(make_config(dataset="chairs"), "export", *place) == 2
    assert "was trained on mnist, and this script is for chairs: use tiny.py" in capsys.readouterr().err
    assert loaded == [make_config()]


def test_a_damaged_network_is_named(networks):
    file = networks / "generator.keras"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match=f"{file} is damaged, or of another network"):
        runs.open_run(networks)


def test_a_missing_network_is_named_unless_it_only_trains(networks):
    (networks / "discriminator.keras").unlink()
    runs.open_run(networks)
    (networks / "encoder.keras").unlink()
    with pytest.raises(UserError, match=f"{networks} lacks encoder.keras: copy all .keras files of the run"):
        runs.open_run(networks)


def test_a_folder_without_networks_is_named(networks):
    for file in networks.glob("*.keras"):
        file.unlink()
    with pytest.raises(UserError, match=f"{networks} has neither a checkpoint nor a .keras file"):
        runs.open_run(networks)


def test_a_named_checkpoint_is_opened_under_its_own_name(keep, mnist, tmp_path, make_config):
    first = keep(tmp_path / "elsewhere", 3, name="theirs")
    keep(tmp_path / "elsewhere", 12, name="theirs")
    run = open_(make_config(), tmp_path, mnist, checkpoint=tmp_path / "elsewhere" / first.rsplit("/", 1)[1])
    assert int(run.system.step) == 3 and run.checkpoint == first
    assert run.description["data"] == "where it was trained"
    assert run.results == tmp_path / "out/results/theirs" and run.results.is_dir()
    assert not (tmp_path / "out/models").exists()


@pytest.mark.parametrize("name", ["tiny", "tiny-synthetic"])
def test_results_on_synthetic_data_say_so_once(keep, tmp_path, make_config, name):
    keep(tmp_path / "run", name=name)
    run = open_(make_config(), tmp_path, None, data="synthetic", checkpoint=tmp_path / "run")
    assert run.results == tmp_path / "out/results/tiny-synthetic"


def test_the_run_of_another_script_is_refused(keep, tmp_path, make_config):
    """Before any data is loaded."""
    keep(tmp_path / "run", name="InfoVAE_dSprites", dataset="dsprites")
    said = "run was trained on dsprites, and this script is for mnist: use InfoVAE_dSprites.py"
    with pytest.raises(UserError, match=said):
        open_(make_config(), tmp_path, tmp_path / "nowhere", checkpoint=tmp_path / "run")


def test_runs_that_do_not_match_are_not_stacked(keep, mnist, tmp_path, make_config):
    keep(tmp_path / "run")
    run = open_(make_config(), tmp_path, mnist, checkpoint=tmp_path / "run")
    keep(tmp_path / "other", dataset="dsprites")
    with pytest.raises(UserError, match="trained on dsprites, and .* on mnist"):
        runs.open_others(run, [tmp_path / "other"])
    larger = dataclasses.replace(run.dataset.train, images=np.zeros((9, 64, 64, 1), np.uint8))
    other = run._replace(dataset=dataclasses.replace(run.dataset, train=larger))
    with pytest.raises(UserError, match=r"images are \[64, 64, 1\], and .*tiny-1 is made for \[28, 28, 1\]"):
        runs.open_others(other, [tmp_path / "run"])


def test_the_example_in_the_readme_runs(monkeypatch, tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "results").symlink_to(ROOT / "results")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(example, "README.md", "exec"), names)
    assert names["images"].shape == (64, 28, 28, 1) and names["again"].shape == (28, 28, 1)
    assert names["codes"].probabilities.shape == (64, 10) and (tmp_path / "traversal.png").is_file()


def test_the_newest_run_may_be_on_synthetic_data(make_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, step, time in (("tiny", 9, 1), ("tiny-synthetic", 2, 3)):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / f"tiny-{step}.index").touch()
        os.utime(tmp_path / "models" / name / f"tiny-{step}.index", (time, time))
    assert run_folders.newest(make_config()) == pathlib.Path("models/tiny-synthetic")


@pytest.mark.parametrize(("start", "was"), [(None, "did not start from"), ("/other", "started from /other")])
def test_a_resumed_run_keeps_its_start(start, was, make_config, tmp_path):
    config, resume = make_config(), TrainingOptions(out=tmp_path, resume=True)
    folder = RunFolders.of(config.name, tmp_path).models
    folder.mkdir(parents=True)
    write_json({**provenance(config, "digits"), "start": start}, folder / "run.json")
    assert runs.claim_folders(config, {}, resume)[1] == start
    with pytest.raises(UserError, match=f"cannot resume with --tf1-checkpoint /w/model-1: the saved run {was}"):
        runs.claim_folders(config, {}, dataclasses.replace(resume, tf1_checkpoint="/w/model-1"))
