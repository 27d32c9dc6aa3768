"""Flags, and the user's mistakes: one line, exit code 2, nothing written."""

import dataclasses
import json
import runpy

import numpy as np
import pytest
from PIL import Image

from common import cli
from common.config import LatentSpec
from common.errors import Diverged, Interrupted
from common.options import SaveInterval
from helpers.paths import ROOT

pytestmark = pytest.mark.fast

SCRIPTS = sorted(p.stem for p in ROOT.glob("InfoVAE_*.py"))


def read_config(script):
    return runpy.run_path(str(ROOT / f"{script}.py"))["CONFIG"]


def mistake(capsys, *arguments, script="InfoVAE_MNIST"):
    """The one line that the command line answers with; asserts exit code 2."""
    try:
        code = cli.main(read_config(script), "", [str(a) for a in arguments])
    except SystemExit as exit_:  # argparse's own.
        code = exit_.code
    assert code == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert ": error: " in error[-1] and "Traceback" not in "".join(error)
    return error[-1]


@pytest.fixture
def mnist(tmp_path):
    """Writes an mnist.npz with the arrays given in place of good ones; None leaves one out."""

    def write(**changes):
        arrays = {
            "x_train": np.zeros((20, 28, 28), np.uint8),
            "y_train": np.zeros(20, np.uint8),
            "x_test": np.zeros((4, 28, 28), np.uint8),
            "y_test": np.zeros(4, np.uint8),
            **changes,
        }
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        np.savez(folder / "mnist.npz", **{name: value for name, value in arrays.items() if value is not None})
        return folder

    return write


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_has_the_same_flags_and_says_what_it_resolves_to(script, capsys):
    config = read_config(script)
    assert cli.main(config, "", ["--dry-run", "--epochs", "3", "--noise", "5", "--seed", "9"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["config"]["name"] == script
    assert (printed["config"]["epochs"], printed["config"]["latent"]["noise"], printed["config"]["seed"]) == (3, 5, 9)
    assert printed["config"]["learning_rate"] == config.hyper.learning_rate


def test_a_preset_changes_the_defaults_and_flags_overrule_it(capsys):
    config = read_config("InfoVAE_MNIST")
    presets = {
        "other": dataclasses.replace(
            config,
            epochs=77,
            learning_rate=1e-3,
            latent=LatentSpec(5, 6, 7),
            learning_rate_half_life=9,
            learning_rate_hold=4,
            settings={"encoder_shift": 3, "encoder_shear": 0.0, "encoder_stretch": 0.0, "encoder_shift_after": 8},
        )
    }

    def resolved(*arguments):
        assert cli.main(config, "", ["--dry-run", *arguments], presets) == 0
        return json.loads(capsys.readouterr().out)["config"]

    assert resolved("--preset", "other") == presets["other"].to_dict()
    assert resolved("--epochs", "10", "--preset", "other", "--noise", "100") == {
        **presets["other"].to_dict(),
        "epochs": 10,
        "latent": {"noise": 100, "categories": 6, "continuous": 7},
    }
    assert resolved("--preset", "other", "--encoder-shift", "1")["settings"] == {
        "encoder_shift": 1,
        "encoder_shear": 0.0,
        "encoder_stretch": 0.0,
        "encoder_shift_after": 8,
    }
    assert resolved() == {
        **config.to_dict(),
        "settings": {"encoder_shift": 0, "encoder_shear": 0.0, "encoder_stretch": 0.0, "encoder_shift_after": 0},
    }


def test_mnist_s_preset_decays_in_its_last_two_epochs_and_changes_nothing_unsaid(capsys):
    script = runpy.run_path(str(ROOT / "InfoVAE_MNIST.py"))
    assert cli.main(script["CONFIG"], "", ["--dry-run", "--preset", "tuned"], script["PRESETS"]) == 0
    config, reference = json.loads(capsys.readouterr().out)["config"], script["CONFIG"].to_dict()
    begins = (config["epochs"] - 2) * (60_000 // reference["batch_size"])
    assert config["learning_rate_hold"] == begins
    assert {name for name in config if config[name] != reference[name]} == {
        "epochs",
        "generator_multiplier",
        "latent",
        "learning_rate_hold",
        "learning_rate_half_life",
        "settings",
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--preset", "none"], "invalid choice: 'none'"),
        (["evaluate", "--preset", "other"], "unrecognized arguments: --preset"),
    ],
)
def test_a_preset_is_one_of_the_scripts_and_for_training(capsys, arguments, said):
    config = read_config("InfoVAE_MNIST")
    with pytest.raises(SystemExit, match="2"):
        cli.main(config, "", arguments, {"other": config})
    assert said in capsys.readouterr().err


def test_a_model_brings_its_own_settings_and_flags_overrule_them(capsys):
    cli.main(read_config("InfoVAE_3DChairs"), "", ["--dry-run", "--model", "infogan"])
    config = json.loads(capsys.readouterr().out)["config"]
    assert config["generator_multiplier"] == 10 and config["first_batch_norm"]
    cli.main(
        read_config("InfoVAE_3DChairs"),
        "",
        ["--dry-run", "--model", "infogan", "--generator-multiplier", "3", "--no-first-batch-norm"],
    )
    config = json.loads(capsys.readouterr().out)["config"]
    assert config["generator_multiplier"] == 3 and not config["first_batch_norm"]


def resolved(capsys, *flags):
    """The configuration that the flags resolve to."""
    assert cli.main(read_config("InfoVAE_MNIST"), "", ["--dry-run", *flags]) == 0
    return json.loads(capsys.readouterr().out)["config"]


def test_a_model_s_own_settings_are_flags_with_defaults(capsys):
    defaults = {"penalty_weight": 10.0, "critic_steps": 5, "stages": "interleaved", "switch_step": 0}
    assert resolved(capsys)["settings"] == {
        "encoder_shift": 0,
        "encoder_shear": 0.0,
        "encoder_stretch": 0.0,
        "encoder_shift_after": 0,
    }
    assert resolved(capsys, "--model", "ali")["settings"] == {}
    assert resolved(capsys, "--variant", "paper")["settings"] == defaults
    flags = (
        "--variant",
        "paper",
        "--penalty-weight",
        "3",
        "--critic-steps",
        "2",
        "--stages",
        "separate",
        "--switch-step",
        "50",
    )
    assert resolved(capsys, *flags)["settings"] == {
        "penalty_weight": 3.0,
        "critic_steps": 2,
        "stages": "separate",
        "switch_step": 50,
    }


def test_the_paper_s_rates_are_wgan_gp_s_unless_flags_say_otherwise(capsys):
    """Gulrajani et al. 2017, algorithm 1: 1e-4, 0, 0.9; one rate for all networks."""
    names = (
        "learning_rate",
        "adam_beta1",
        "adam_beta2",
        "generator_multiplier",
        "information_multiplier",
        "vae_multiplier",
        "categorical_kl_weight",
    )
    config = resolved(capsys, "--variant", "paper")
    assert [config[name] for name in names] == [1e-4, 0, 0.9, 1, 1, 1, 1]
    config = resolved(
        capsys,
        "--variant",
        "paper",
        "--learning-rate",
        "3e-4",
        "--vae-multiplier",
        "2",
        "--information-multiplier",
        "4",
        "--categorical-kl-weight",
        "0.5",
    )
    assert [config[name] for name in names] == [3e-4, 0, 0.9, 1, 4, 2, 0.5]


@pytest.mark.parametrize("variant", ["code", "paper"])
def test_the_ablation_is_a_flag(capsys, variant):
    assert resolved(capsys, "--variant", variant)["mutual_information"] is True
    assert resolved(capsys, "--variant", variant, "--no-mutual-information")["mutual_information"] is False


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--epochs", "0"], "epochs must be at least 1"),
        (["--epochs", "x"], "invalid int value"),
        (["--batch-size", "1"], "batch-size must be at least 2"),
        (["--steps-per-epoch", "-1"], "steps-per-epoch"),
        (["--seed", "-1"], "seed must be in [0, 2^31)"),
        (["--learning-rate", "nan"], "learning-rate must be finite"),
        (["--categories", "1"], "categories"),
        (["--variant", "unheard-of"], "invalid choice: 'unheard-of'"),
        (
            ["--model", "infogan", "--variant", "paper"],
            "no model 'infogan' with variant 'paper'; there are: ali, infogan, infovaegan, infovaegan with variant paper",
        ),
        (
            ["--critic-steps", "3"],
            "--critic-steps is no setting of infovaegan; it is one of: infovaegan with variant paper",
        ),
        (["--variant", "paper", "--critic-steps", "0"], "critic-steps must be a whole number of at least 1; got 0"),
        (["--variant", "paper", "--critic-steps", "2.5"], "invalid int value"),
        (["--variant", "paper", "--penalty-weight", "nan"], "penalty-weight must be a number of at least 0; got nan"),
        (["--variant", "paper", "--stages", "both"], "invalid choice: 'both'"),
        (["--variant", "paper", "--stages", "separate"], "--stages separate and --switch-step STEP"),
        (["--variant", "paper", "--switch-step", "5"], "need each other"),
        (
            ["--model", "ali", "--no-mutual-information"],
            "means nothing for ali; it is for: infovaegan, infovaegan with variant paper",
        ),
        (["--model", "infogan", "--no-mutual-information"], "means nothing for infogan"),
        (["--checkpoint-every", "0"], "must be a number of steps, like 500, or of minutes, like 30m, above 0; got '0'"),
        (["--checkpoint-every", "5s"], "got '5s'"),
        (["--checkpoint-every", "0m"], "got '0m'"),
        (["--keep", "0"], "--keep must be at least 1; got 0"),
        (["--on-nan", "ignore"], "invalid choice: 'ignore'"),
        (["--no-such-flag"], "unrecognized arguments"),
        (["--resume", "--overwrite"], "leave one out"),
        (["--data", "synthetic", "--data-dir", "."], "exclude each other"),
    ],
)
def test_bad_flags(flags, words, capsys):
    assert words in mistake(capsys, *flags)


@pytest.mark.parametrize(
    ("text", "every"),
    [("500", SaveInterval(500, None)), ("30m", SaveInterval(None, 30.0)), ("0.5m", SaveInterval(None, 0.5))],
)
def test_checkpoints_every_so_many_steps_or_minutes(text, every):
    assert SaveInterval.parse(text) == every


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (Interrupted(15, "stopped after step 3"), 143, ": stopped after step 3"),
        (Diverged("loss is nan"), 1, ": error: loss is nan"),
        (OSError(28, "No space left on device", "log.csv"), 2, ": error: log.csv: No space left on device"),
        (KeyboardInterrupt(), 130, ": stopped"),
    ],
)
def test_how_a_run_ends_is_its_exit_code(error, code, words, capsys, monkeypatch):
    def fail(config, given):
        raise error

    monkeypatch.setitem(cli.COMMANDS, "train", cli.COMMANDS["train"]._replace(run=fail))
    assert cli.main(read_config("InfoVAE_MNIST"), "", []) == code
    assert capsys.readouterr().err.strip().endswith(words)


def test_missing_and_empty_folders_are_named_with_a_remedy(tmp_path, capsys):
    out = tmp_path / "out"
    missing = mistake(capsys, "--data-dir", tmp_path / "nowhere", "--out", out)
    assert "nowhere does not exist" in missing and "mnist.npz" in missing
    (tmp_path / "empty").mkdir()
    assert "no MNIST in" in mistake(capsys, "--data-dir", tmp_path / "empty", "--out", out)
    assert "no 3D Chairs renders in" in mistake(
        capsys, "--data-dir", tmp_path / "empty", "--out", out, script="InfoVAE_3DChairs"
    )
    assert not out.exists()


def test_bad_mnist_files_are_refused_before_anything_is_written(mnist, tmp_path, capsys):
    out = tmp_path / "out"
    assert "lacks x_train" in mistake(capsys, "--data-dir", mnist(x_train=None), "--out", out)
    assert "must be uint8 [n, 28, 28]" in mistake(
        capsys, "--data-dir", mnist(x_train=np.zeros((20, 32, 32), np.uint8)), "--out", out
    )
    assert "labels must be 20 integers" in mistake(
        capsys, "--data-dir", mnist(y_train=np.zeros(7, np.uint8)), "--out", out
    )
    folder = mnist(x_train=np.array([{"pickled": True}], object))
    assert "no readable npz" in mistake(capsys, "--data-dir", folder, "--out", out)
    (folder / "mnist.npz").write_bytes((folder / "mnist.npz").read_bytes()[:-100])
    assert "no readable npz" in mistake(capsys, "--data-dir", folder, "--out", out)
    assert not out.exists()


def test_a_batch_larger_than_the_data_is_refused(mnist, tmp_path, capsys):
    assert "larger than the data set of 20" in mistake(
        capsys, "--data-dir", mnist(), "--batch-size", 21, "--out", tmp_path / "out"
    )
    assert not (tmp_path / "out").exists()


def test_an_output_path_that_cannot_be_written_is_named(mnist, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert "cannot write to" in mistake(capsys, "--data-dir", mnist(), "--batch-size", 4, "--out", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "in the way"


def test_nothing_to_resume(mnist, tmp_path, capsys):
    assert "nothing to resume" in mistake(
        capsys, "--data-dir", mnist(), "--batch-size", 4, "--out", tmp_path / "out", "--resume"
    )
    assert not (tmp_path / "out").exists()


def test_chairs_that_are_all_broken_are_an_error_naming_one(tmp_path, capsys):
    renders = tmp_path / "data" / "chair" / "renders"
    renders.mkdir(parents=True)
    Image.new("RGB", (600, 600)).save(renders / "image_000_p020_t011_r096.png")
    whole = (renders / "image_000_p020_t011_r096.png").read_bytes()
    (renders / "image_000_p020_t011_r096.png").write_bytes(whole[: len(whole) // 2])
    line = mistake(
        capsys,
        "--data-dir",
        tmp_path / "data",
        "--cache-dir",
        tmp_path / "cache",
        "--out",
        tmp_path / "out",
        script="InfoVAE_3DChairs",
    )
    assert "chair/renders/image_000_p020_t011_r096.png is broken" in line
    assert not (tmp_path / "out").exists() and not list((tmp_path / "cache").iterdir())
