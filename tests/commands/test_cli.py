"""Flags, help and the user's mistakes: one line, exit code 2, nothing written."""

import json
import runpy
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from common import cli, flags
from common.errors import Diverged, Interrupted
from common.options import SaveInterval
from common.run_json import read_config
from helpers.paths import ROOT

pytestmark = pytest.mark.fast

SCRIPTS = sorted(p.stem for p in ROOT.glob("InfoVAE_*.py"))


def read_script(script="InfoVAE_MNIST"):
    return runpy.run_path(str(ROOT / f"{script}.py"))


def mistake(capsys, *arguments, script="InfoVAE_MNIST"):
    """The line that the command line answers with; asserts that it is one, and exit code 2."""
    names = read_script(script)
    assert cli.main(names["CONFIG"], "", [str(a) for a in arguments], names.get("PRESETS", {})) == 2
    (line,) = capsys.readouterr().err.splitlines()
    prefix = f"{script}.py: error: "
    assert line.startswith(prefix)
    return line.removeprefix(prefix)


def resolved(capsys, *arguments, script="InfoVAE_MNIST"):
    """The configuration that the flags resolve to."""
    names = read_script(script)
    assert cli.main(names["CONFIG"], "", ["--dry-run", *arguments], names.get("PRESETS", {})) == 0
    return json.loads(capsys.readouterr().out)["config"]


def helped(capsys, *arguments):
    names = read_script()
    assert cli.main(names["CONFIG"], names["__doc__"], arguments, names["PRESETS"]) == 0
    return capsys.readouterr().out


@pytest.fixture
def mnist(tmp_path):
    """Writes an mnist.npz with the arrays given instead of good ones; None leaves one out."""

    def write(**changes):
        arrays = {
            "x_train": np.eye(28, dtype=np.uint8)[None].repeat(20, 0),
            "y_train": np.zeros(20, np.uint8),
            "x_test": np.eye(28, dtype=np.uint8)[None].repeat(4, 0),
            "y_test": np.zeros(4, np.uint8),
            **changes,
        }
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        np.savez(folder / "mnist.npz", **{name: value for name, value in arrays.items() if value is not None})
        return folder

    return write


# Help


@pytest.mark.parametrize("command", flags.COMMANDS)
def test_help_fits_on_a_screen_of_eighty_columns(capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    lines = helped(capsys, command, "--help").splitlines()
    assert len(lines) <= 60 and max(map(len, lines)) <= 80
    assert sum(line.startswith("  --") for line in lines) <= 20
    assert sum(line.startswith("  python InfoVAE_MNIST.py ") for line in lines) == 2


@pytest.mark.parametrize("command", flags.COMMANDS)
def test_help_all_lists_every_flag_of_the_command_alone(capsys, command):
    text = helped(capsys, command, "--help-all")
    names = {
        flag.flag for _, group in flags.groups(command, read_script()["CONFIG"], ("tuned",), False) for flag in group
    }
    assert {line.split()[0].rstrip(",") for line in text.splitlines() if line.startswith("  --")} == names
    assert ("--critic-steps" in text, "--vae-multiplier" in text) == (False, command == "train")


def test_help_of_a_system_lists_its_hyper_parameters(capsys):
    assert "--vae-multiplier" not in helped(capsys, "--help")
    text = helped(capsys, "--variant", "paper", "--help")
    assert "--critic-steps N" in text and "critic updates per generator update (default: 5)" in text


def test_help_of_evaluate_does_not_begin_with_training(capsys):
    assert "Measure a trained run of InfoVAE_MNIST.py" in helped(capsys, "evaluate", "--help").splitlines()[2]


@pytest.mark.parametrize("command", flags.COMMANDS)
def test_help_texts_begin_with_a_letter_and_have_no_final_stop(command):
    for _, group in flags.groups(command, read_script()["CONFIG"], ("tuned",), True):
        assert [flag.flag for flag in group if not flag.help[0].isalpha() or flag.help.endswith(".")] == []


def test_help_dry_runs_and_mistakes_do_not_import_tensorflow(tmp_path):
    program = f"""
import runpy, sys
from common import cli
script = runpy.run_path("InfoVAE_MNIST.py")
run = ["--checkpoint", "results/mnist/light", "--dry-run"]
for arguments, code in (
    (["--help"], 0), (["--dry-run"], 0), (["evaluate", *run], 0), (["figures", *run], 0), (["report", *run], 0),
    (["export", *run], 0), (["sample", *run], 0), (["sample", "--checkpoint", "c", "--dry-run"], 2),
    (["report", "--results", "nowhere"], 2), (["report", "--file", "nowhere/x.html"], 2),
    (["--epochs", "0"], 2), (["--epoch", "3"], 2), (["evaluate", "--num-images", "0"], 2),
    (["sample", "--checkpoint", {str(tmp_path)!r}], 2),
    (["evaluate", "--out", {str(tmp_path)!r}], 2), (["figures", "--checkpoint", {str(tmp_path)!r}], 2),
    (["export", "--dry-run", "--out", {str(tmp_path)!r}], 2), (["export", "--out", {str(tmp_path)!r}], 2),
    (["export", "--checkpoint", {str(tmp_path)!r}], 2),
):
    assert cli.main(script["CONFIG"], "", arguments, script["PRESETS"]) == code, arguments
assert not {{"tensorflow", "keras"}} & sys.modules.keys()
"""
    process = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert process.returncode == 0, process.stderr


# Configuration


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_has_the_same_flags(script, capsys):
    config = resolved(capsys, "--epochs", "3", "--noise", "5", "--seed", "9", script=script)
    assert config["name"] == script
    assert (config["epochs"], config["latent"]["noise"], config["seed"]) == (3, 5, 9)
    assert config["hyper"] == read_script(script)["CONFIG"].to_dict()["hyper"]


def test_a_preset_changes_the_defaults_and_flags_overrule_it(capsys):
    preset = read_script()["PRESETS"]["tuned"].to_dict()
    assert resolved(capsys, "--preset", "tuned") == preset
    changed = resolved(capsys, "--epochs", "10", "--preset", "tuned", "--noise", "100", "--encoder-shift", "1")
    assert changed == {
        **preset,
        "epochs": 10,
        "latent": {**preset["latent"], "noise": 100},
        "hyper": {**preset["hyper"], "encoder_shift": 1},
    }


def test_a_preset_changes_what_another_model_shares_with_its_own(capsys):
    tuned = read_script()["PRESETS"]["tuned"].to_dict()["hyper"]
    infogan, betavae = (resolved(capsys, "--preset", "tuned", "--model", name) for name in ("infogan", "betavae"))
    assert all(infogan["hyper"][name] == tuned[name] for name in ("learning_rate_hold", "encoder_shear"))
    assert infogan["hyper"]["first_batch_norm"]  # The preset does not change it: InfoGAN's own.
    assert betavae["hyper"] == resolved(capsys, "--model", "betavae")["hyper"]  # Its learning rate is another thing.


def test_the_tuned_preset_decays_in_its_last_two_epochs():
    config = read_script()["PRESETS"]["tuned"]
    assert config.hyper.learning_rate_hold == (config.epochs - 2) * (60_000 // config.batch_size)


def test_a_model_brings_its_own_defaults_and_flags_overrule_them(capsys):
    hyper = resolved(capsys, "--model", "infogan", script="InfoVAE_3DChairs")["hyper"]
    assert hyper["generator_multiplier"] == 10 and hyper["first_batch_norm"]
    changes = ("--generator-multiplier", "3", "--no-first-batch-norm")
    hyper = resolved(capsys, "--model", "infogan", *changes, script="InfoVAE_3DChairs")["hyper"]
    assert hyper["generator_multiplier"] == 3 and not hyper["first_batch_norm"]


def test_the_papers_rates_are_those_of_wgan_gp(capsys):
    """Gulrajani et al. 2017, algorithm 1: 1e-4, 0, 0.9; one rate for all networks."""
    hyper = resolved(capsys, "--variant", "paper")["hyper"]
    assert [hyper[name] for name in ("learning_rate", "adam_beta1", "adam_beta2")] == [1e-4, 0, 0.9]
    multipliers = ("generator_multiplier", "information_multiplier", "vae_multiplier", "categorical_kl_weight")
    assert {hyper[name] for name in multipliers} == {1}


@pytest.mark.parametrize("variant", ["code", "paper"])
def test_the_ablation_is_a_flag(capsys, variant):
    for flag, wanted in (((), True), (("--no-mutual-information",), False)):
        assert resolved(capsys, "--variant", variant, *flag)["hyper"]["mutual_information"] is wanted


def test_a_dry_run_checks_that_the_data_is_there(capsys, mnist):
    assert cli.main(read_script()["CONFIG"], "", ["--dry-run", "--data-dir", str(mnist())]) == 0
    assert json.loads(capsys.readouterr().out)["data"].endswith("/data")
    assert mistake(capsys, "--dry-run", "--data-dir", "nowhere").startswith("--data-dir nowhere does not exist; ")


@pytest.mark.parametrize("command", ["evaluate", "figures", "report", "export", "sample"])
def test_a_dry_run_of_a_trained_run_shows_its_own_configuration(capsys, command):
    results = ROOT / "results"
    assert cli.main(read_script()["CONFIG"], "", [command, "--checkpoint", f"{results}/mnist/light", "--dry-run"]) == 0
    shown = json.loads(capsys.readouterr().out)["config"]
    assert shown == read_config(results / "mnist" / "light" / "run.json").to_dict()
    assert shown["hyper"]["width"] == 0.25
    if command != "sample":  # It needs no data, and takes any run.
        said = mistake(capsys, command, "--checkpoint", results / "celeba" / "light", "--dry-run")
        assert said.endswith("was trained on celeba, and this script is for mnist: use InfoVAE_CelebA.py")


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--epoch 3", "unknown flag --epoch: did you mean --epochs?"),
        ("--lr 1e-3", "unknown flag --lr: did you mean --learning-rate?"),
        ("--lr=1e-3", "unknown flag --lr: did you mean --learning-rate?"),
        ("--batch 3", "unknown flag --batch: did you mean --batch-size?"),
        ("--gpu 0", "unknown flag --gpu: did you mean --strategy?"),
        ("--n-epochs 3", "unknown flag --n-epochs: did you mean --epochs?"),
        ("--data_dir x", "unknown flag --data_dir: did you mean --data-dir?"),
        ("-epochs 3", "unknown flag -epochs: did you mean --epochs?"),
        ("--quux", "unknown flag --quux: --help-all lists all flags"),
        ("--votes 3", "--votes is a flag of evaluate, not of train"),
        ("evaluate --resume", "--resume is a flag of train, not of evaluate"),
        ("evaluate --preset tuned", "--preset is a flag of train, not of evaluate"),
        ("evaluate --seed 4", "--seed is a flag of train: a trained run keeps the configuration it was trained with"),
        ("--critic-steps 3", "--critic-steps is not a flag of InfoVAEGAN; it belongs to: the paper's InfoVAEGAN"),
        ("--model ali --no-mutual-information", "--no-mutual-information is not a flag of ALI; it belongs to: "),
        ("--epochs 3 evaluate", "evaluate is a command: put it first"),
        ("evalute", "unknown argument 'evalute': did you mean evaluate?"),
        ("--epochs 0", "--epochs must be at least 1, got 0"),
        ("--epochs x", "--epochs must be a whole number, got 'x'"),
        ("--epochs", "--epochs needs a value"),
        ("--resume=yes", "--resume must be auto, got 'yes'"),
        ("--batch-size 1", "--batch-size must be at least 2"),
        ("--steps-per-epoch -1", "--steps-per-epoch must be at least 1, got -1"),
        ("--seed -1", "--seed must be in [0, 2^31), got -1"),
        ("--learning-rate nan", "--learning-rate must be finite, got nan"),
        ("--learning-rate 0", "--learning-rate must be above 0, got 0.0"),
        ("--categories 1", "--categories must be 0 or at least 2, got 1"),
        ("--variant papre", "--variant must be one of code, paper, got 'papre': did you mean paper?"),
        ("--preset none", "--preset must be one of tuned, accurate, light, paper, got 'none'"),
        ("--model infogan --variant paper", "there is no --model infogan with --variant paper; there are: "),
        ("--variant paper --critic-steps 0", "--critic-steps must be at least 1, got 0"),
        ("--variant paper --critic-steps 2.5", "--critic-steps must be a whole number, got '2.5'"),
        ("--variant paper --stages both", "--stages must be one of interleaved, separate, got 'both'"),
        ("--variant paper --stages separate", "--stages separate requires --switch-step"),
        ("--variant paper --jit", "--jit does not work with the paper's InfoVAEGAN; it works with: "),
        ("--variant paper --strategy auto", "--strategy does not work with the paper's InfoVAEGAN; it works with: "),
        ("--checkpoint-every 0", "--checkpoint-every must be steps, like 500, or minutes, like 30m, got '0'"),
        ("--checkpoint-every 5s", "--checkpoint-every must be steps, like 500, or minutes, like 30m, got '5s'"),
        (f"--checkpoint-every {'9' * 5000}", "--checkpoint-every must be steps, like 500, or minutes, like 30m, got"),
        ("--keep 0", "--keep must be at least 1, got 0"),
        ("--on-nan ignore", "--on-nan must be one of stop, rollback, got 'ignore'"),
        ("--resume --overwrite", "--resume cannot be combined with --overwrite"),
        ("--images=", "--images needs a path, got ''"),
        ("--data-dir=", "--data-dir needs a path, got ''"),
        ("--jit --strategy auto", "--jit cannot be combined with --strategy"),
        ("--sync-batch-norm", "--sync-batch-norm requires --strategy"),
        ("--data synthetic --data-dir .", "--data synthetic cannot be combined with --data-dir"),
        ("evaluate --num-images 1", "--num-images must be at least 2, got 1"),
        ("evaluate --checkpoint a --tf1-checkpoint b", "--checkpoint cannot be combined with --tf1-checkpoint"),
        (f"evaluate --evaluation-seed {2**31}", "--evaluation-seed must be below 2147483648, got 2147483648"),
        ("figures --figure-seed 4294967296", "--figure-seed must be below 2147483648, got 4294967296"),
        ("figures --range 1 0", "--range must rise, got 1 0"),
        ("figures --range 0 nan", "--range must be finite"),
        ("figures --range 0", "--range needs 2 value(s)"),
        ("report --results nowhere", "--results nowhere is not a folder: it should hold log.csv and metrics.json"),
        ("report --file no/x.html", "--file no/x.html cannot be written: there is no folder no"),
        ("report --grid-rows 0", "--grid-rows must be at least 1, got 0"),
        ("sample --latents x.npz --count 3", "--latents cannot be combined with --count"),
        ("sample --tf1-checkpoint p --seed 1 --checkpoint c", "--checkpoint cannot be combined with --tf1-checkpoint"),
    ],
)  # fmt: skip
def test_a_mistake_costs_one_line(arguments, said, capsys):
    assert mistake(capsys, *arguments.split()).startswith(said)


def test_a_tf1_checkpoint_brings_the_models_flags(capsys):
    assert cli.main(read_script()["CONFIG"], "", ["evaluate", "--tf1-checkpoint=a", "--noise", "5", "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["config"]["latent"]["noise"] == 5


@pytest.mark.parametrize(
    ("text", "every"),
    [("500", SaveInterval(500, None)), ("30m", SaveInterval(None, 30.0)), ("0.5m", SaveInterval(None, 0.5))],
)
def test_a_save_interval_is_steps_or_minutes(text, every):
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
def test_the_exit_code_says_how_a_run_ended(error, code, words, capsys, monkeypatch):
    def fail(config, options):
        raise error

    monkeypatch.setattr(cli.commands, "train", fail)
    assert cli.main(read_script()["CONFIG"], "", []) == code
    assert capsys.readouterr().err.strip().endswith(words)


@pytest.mark.parametrize("also", [(), ("--dry-run",)], ids=["run", "dry run"])
@pytest.mark.parametrize("command", ["evaluate", "figures", "report", "export"])
def test_before_training_it_says_to_train_first(capsys, tmp_path, mnist, command, also):
    said = mistake(capsys, command, "--data-dir", mnist(), "--out", tmp_path / "out", *also)
    assert said.startswith(f"there is no trained run in {tmp_path}/out/models/InfoVAE_MNIST: train first (python Info")
    assert not (tmp_path / "out").exists()


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
    assert "is not a readable .npz" in mistake(capsys, "--data-dir", folder, "--out", out)
    (folder / "mnist.npz").write_bytes((folder / "mnist.npz").read_bytes()[:-100])
    assert "is not a readable .npz" in mistake(capsys, "--data-dir", folder, "--out", out)
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
    arguments = ("--data-dir", mnist(), "--batch-size", 4, "--out", tmp_path / "out", "--resume")
    for also in ((), ("--dry-run",)):
        assert "nothing to resume" in mistake(capsys, *arguments, *also)
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
