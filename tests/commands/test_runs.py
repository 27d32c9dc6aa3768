"""`evaluate` and `figures` as commands: which run they open, what they leave, and the user's mistakes."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from common import cli, runs
from common.config import LatentSpec, provenance
from common.errors import UserError
from common.io.atomic import write_json
from common.models import registry
from common.options import Cache
from common.training.checkpoints import Checkpoints
from helpers.paths import ROOT


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
    """`keep(folder, step, **changes)`: saves the tiny system there as a run's checkpoint at `step`; returns the checkpoint's path."""

    def save(folder, step=1, **changes):
        folder.mkdir(parents=True, exist_ok=True)
        system.step.assign(step)
        config = dataclasses.replace(system.config, **changes)
        write_json({**provenance(config, "where it was trained"), "start": None}, folder / "run.json")
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
    metrics = json.loads((out / "results/tiny/metrics.json").read_text())
    assert (metrics["checkpoint"], metrics["step"], metrics["trained_on"]) == (newest, 12, "where it was trained")
    assert metrics["data"] == str(mnist / "mnist.npz") and metrics["config"] == registry.adapt(make_config()).to_dict()
    assert {
        "accuracy_majority",
        "accuracy_one_to_one",
        "accuracy_majority_moving_statistics",
        "fid_classifier",
        "fid_classifier_floor",
        "kid_classifier",
        "reconstruction_error_per_value",
        "classifier_test_accuracy",
    } < metrics["metrics"].keys()
    assert all(np.isfinite(value) for value in metrics["metrics"].values())
    assert metrics["sizes"]["classification_test"] == metrics["sizes"]["fid_images_a_side"] == 20
    assert command(other, "figures", *place, "--also", out / "models/tiny") == 0
    pictures = json.loads((out / "results/tiny/figures.json").read_text())
    written = {path.name for path in (out / "results/tiny").iterdir()}
    assert pictures["step"] == 12 and pictures["figures"].keys() | {"metrics.json", "figures.json"} == written
    assert [one["checkpoint"] for one in pictures["figures"]["figure_reconstructions.png"]["systems"]] == [
        newest,
        newest,
    ]


def where(tmp_path, mnist, **changes):
    return runs.Where(
        **{"data_dir": mnist, "data": "auto", "cache": Cache(tmp_path, False), "out": tmp_path / "out", **changes}
    )


def test_a_named_checkpoint_is_opened_with_its_own_name(keep, mnist, tmp_path, make_config):
    first = keep(tmp_path / "elsewhere", 3, name="theirs")
    keep(tmp_path / "elsewhere", 12, name="theirs")
    run = runs.open_with_data(
        make_config(), where(tmp_path, mnist, checkpoint=tmp_path / "elsewhere" / first.rsplit("/", 1)[1])
    )
    assert int(run.system.step) == 3 and run.checkpoint == first
    assert run.results == tmp_path / "out/results/theirs" and run.results.is_dir()
    assert not (tmp_path / "out/models").exists()


@pytest.mark.parametrize("name", ["tiny", "tiny-synthetic"])
def test_what_comes_of_a_stand_in_says_so_once(keep, tmp_path, make_config, name):
    keep(tmp_path / "run", name=name)
    run = runs.open_with_data(make_config(), where(tmp_path, None, data="synthetic", checkpoint=tmp_path / "run"))
    assert run.results == tmp_path / "out/results/tiny-synthetic"


def test_without_a_run_it_is_said_where_one_was_looked_for_and_nothing_is_written(mnist, tmp_path, make_config, capsys):
    for name in ("evaluate", "figures"):
        assert command(make_config(), name, "--data-dir", mnist, "--no-cache", "--out", tmp_path / "out") == 2
        assert f"no checkpoint at {tmp_path}/out/models/tiny" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["evaluate", "figures"])
def test_help_dry_runs_and_mistakes_do_not_import_tensorflow(name):
    program = (
        "import runpy, sys\n"
        "from common import cli\n"
        "config = runpy.run_path('InfoVAE_MNIST.py')['CONFIG']\n"
        f"assert cli.main(config, '', ['{name}', '--dry-run']) == 0\n"
        f"assert cli.main(config, '', ['{name}', '--images', '0']) == 2\n"
        f"try: cli.main(config, '', ['{name}', '--help'])\n"
        "except SystemExit as e: assert e.code == 0\n"
        "assert not {'tensorflow', 'keras'} & sys.modules.keys()"
    )
    process = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("evaluate", "--images", "1"), "--images must be at least 2; got 1"),
        (("evaluate", "--votes", "x"), "invalid int value"),
        (("evaluate", "--checkpoint", "a", "--tf1-checkpoint", "b"), "leave one out"),
        (("figures", "--range", "1", "0"), "--range must be finite, and rising; got 1 0"),
        (("figures", "--range", "0", "nan"), "--range"),
        (("figures", "--draws", "64"), "--draws must be numbers from 0 to 63"),
        (("evaluate", "--seed", "4"), "--seed"),
    ],
)
def test_bad_flags(arguments, words, make_config, capsys):
    try:
        assert command(make_config(), *arguments) == 2
    except SystemExit as exit_:  # argparse's own.
        assert exit_.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert words in lines[-1] and "Traceback" not in "".join(lines)


def test_images_of_another_shape_are_refused(keep, mnist, tmp_path, make_config, monkeypatch):
    keep(tmp_path / "run")
    run = runs.open_with_data(make_config(), where(tmp_path, mnist, checkpoint=tmp_path / "run"))
    other = run._replace(
        dataset=dataclasses.replace(
            run.dataset, train=dataclasses.replace(run.dataset.train, images=np.zeros((9, 64, 64, 1), np.uint8))
        )
    )
    with pytest.raises(UserError, match=r"images are \[64, 64, 1\], and .*tiny-1 is made for \[28, 28, 1\]"):
        runs.open_beside(other, [tmp_path / "run"])


def test_a_run_on_another_data_set_does_not_stand_beside(keep, mnist, tmp_path, make_config):
    keep(tmp_path / "run")
    run = runs.open_with_data(make_config(), where(tmp_path, mnist, checkpoint=tmp_path / "run"))
    keep(tmp_path / "other", dataset="dsprites")
    with pytest.raises(UserError, match="trained on dsprites, and .* on mnist"):
        runs.open_beside(run, [tmp_path / "other"])
