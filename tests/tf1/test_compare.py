"""Parity with the original's recordings, and that the comparison notices when there is none."""

import json
import shutil

import numpy as np
import pytest

from common.errors import UserError
from common.tf1 import compare
from common.tf1.recording import Recording, projection
from helpers.paths import RECORDINGS as GOLDEN

NAMES = ("chairs", "celeba_toplevel", "dsprites", "infogan_dsprites")
needs_recordings = pytest.mark.skipif(
    not GOLDEN.is_dir(), reason=f"{GOLDEN} is not here: it holds the recordings of the original"
)


@needs_recordings
@pytest.mark.parametrize("name", NAMES)
def test_recording_of_the_original_is_reproduced(name):
    rows = compare.compare(Recording(GOLDEN / f"{name}.json"))
    print(compare.summary(rows))
    assert [row for row in rows if row.verdict == "FAIL"] == []
    # Everything that could be compared has been: what is left out is named, and is nothing else.
    assert {row.note for row in rows if row.verdict == "skipped"} <= {compare._NORMALISED, compare._AVERAGE}
    stages = {row.stage for row in rows if row.verdict == "pass"}
    losses = {"d_loss", "g_loss", "q_loss"} | ({"vae_loss"} if name != "infogan_dsprites" else set())
    assert stages == {"outputs", "losses", "iteration 0", "iteration 1", "iteration 2", "final images"} | {
        f"gradients of {loss}" for loss in losses
    }


@needs_recordings
def test_recordings_name_their_configurations():
    configs = {name: Recording(GOLDEN / f"{name}.json").config() for name in NAMES}
    assert {n: c.model for n, c in configs.items()} == dict.fromkeys(NAMES, "infovaegan") | {
        "infogan_dsprites": "infogan"
    }
    assert {n: c.categorical_kl_weight for n, c in configs.items()} == dict.fromkeys(NAMES, 0.001) | {
        "celeba_toplevel": 0.0,
        "infogan_dsprites": 0.0,
    }
    assert {n: c.first_batch_norm for n, c in configs.items()} == dict.fromkeys(NAMES, False) | {
        "infogan_dsprites": True
    }
    assert {n: c.generator_multiplier for n, c in configs.items()} == dict.fromkeys(NAMES, 5) | {"infogan_dsprites": 10}
    assert configs["dsprites"].image_shape == (64, 64, 1)


SMALL = {
    "image_dims": [28, 28, 1],
    "batch_size": 4,
    "noise_len": 5,
    "discrete_len": 3,
    "continous_len": 2,
    "learning_rate": 1e-3,
    "multipliers": {"g": 2, "q": 3, "v": 1},
}


def record(path, trained=None):
    """Writes a recording of this port's own small model, under layer names counted otherwise, as some original might."""
    from common.models import registry
    from common.tf1 import checkpoints as tf1_checkpoints

    random = np.random.RandomState(5)
    fields = {**SMALL, "variables": {}, "losses": {}, "gradients": {}, "trace": [], **(trained or {})}
    fields["losses"] = {"KL_y": 0.0}
    path.write_text(json.dumps({**fields, "variables": {"encoder/e_log_sigma_sq/bias": [2]}}))
    np.savez(path.with_suffix(".npz"), nothing=np.zeros(1))
    system = registry.build(Recording(path).config())
    variables = {name.replace("g_h4", "g_h17"): v for name, v in tf1_checkpoints.network_variables(system).items()}
    fields["variables"] = {name: list(v.shape) for name, v in variables.items()}
    path.write_text(json.dumps(fields))
    recording = Recording(path)
    for name, v in variables.items():
        v.assign(recording.initial_value(name))
    arrays = {}

    def noise(prefix):
        tensors = [
            (random.normal if i % 2 == 0 else random.uniform)(size=(4, 2 if i % 2 == 0 else 3)).astype(np.float32)
            for i in range(5)
        ]
        arrays.update({f"{prefix}/{i}": value for i, value in enumerate(tensors)})
        return tensors

    images, latents = recording.batch(0)
    step_noise = compare._noise(noise("noise"))
    fake, vjp = system.generate_with_vjp(latents)
    d_values, d_gradients = system.discriminator_pass(images, fake, latents, step_noise)
    values, gradients = system.generator_pass(fake, vjp, latents, step_noise)
    arrays["out/G"] = fake.numpy()[:2]
    fields["losses"] = {"d_loss": d_values["d_loss"], "vae_loss": values["vae_loss"], "KL_y": values["categorical_kl"]}
    names = {id(v): name for name, v in variables.items()}
    for optimizer, gradient in {**d_gradients, **gradients}.items():
        fields["gradients"][f"{optimizer}_loss"] = {
            names[id(v)]: fingerprint(names[id(v)], g.numpy()) for v, g in zip(system.variables_of(optimizer), gradient)
        }
    for step in range(3):
        images, latents = recording.batch(1 + step)
        d_noise, gqv_noise = noise(f"step{step}/d_noise"), noise(f"step{step}/gqv_noise")
        values = system.iterate(images, latents, compare._noise(d_noise, gqv_noise))
        losses = {name: float(values[name]) for name in ("d_loss", "g_loss", "q_loss", "vae_loss")}
        fields["trace"].append(
            {**losses, "variables": {name: fingerprint(name, v.numpy()) for name, v in variables.items()}}
        )
    _, latents = recording.batch(4)
    arrays["final/G"] = system.generate(*latents).numpy()[:2]
    fields["losses"] = {name: float(value) for name, value in fields["losses"].items()}
    path.write_text(json.dumps(fields))
    np.savez(path.with_suffix(".npz"), **arrays)


def fingerprint(name, value):
    return {"norm": float(np.linalg.norm(value.astype(np.float64))), "projection": projection(name, value)}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    path = tmp_path_factory.mktemp("recordings") / "own.json"
    record(path)
    return path


def test_another_configuration_with_other_layer_names_passes(own, capsys):
    assert compare.main([str(own.parent)]) == 0
    printed = capsys.readouterr().out
    assert "own.json: pass" in printed and "decoder/g_h17/w projection" in printed
    assert "skipped  (moving average" in printed and "skipped  (bias in front of a batch norm" in printed


@pytest.mark.parametrize(
    "field, value, stage",
    [
        ("multipliers", {"g": 2, "q": 3, "v": 2}, "iteration 0"),
        ("losses", {"vae_loss": 1.0}, "losses"),  # Without KL_y the term must be gone.
    ],
)
def test_a_wrong_setting_fails(own, tmp_path, capsys, field, value, stage):
    fields = json.loads(own.read_text())
    fields = {**fields, field: value, "trace": fields["trace"][:1]}
    (tmp_path / "wrong.json").write_text(json.dumps(fields))
    shutil.copy(own.with_suffix(".npz"), tmp_path / "wrong.npz")
    assert compare.main(["--summary", str(tmp_path / "wrong.json")]) == 1
    failed = [line for line in capsys.readouterr().out.splitlines()[1:] if " 0 FAIL" not in line]
    assert failed and failed[0].split("  ")[1] == stage


def test_a_wrong_gradient_and_a_wrong_tensor_fail(own, tmp_path):
    fields, arrays = json.loads(own.read_text()), dict(np.load(own.with_suffix(".npz")))
    fields["trace"] = []
    fields["gradients"]["g_loss"]["decoder/g_h3/w"]["norm"] *= 1.01
    del arrays["final/G"]
    arrays["out/G"] = arrays["out/G"] + 1e-3
    del fields["gradients"]["vae_loss"]["encoder/e_mean/bias"]
    (tmp_path / "wrong.json").write_text(json.dumps(fields))
    np.savez(tmp_path / "wrong.npz", **arrays, **{"out/unheard_of": np.zeros(3)})
    rows = compare.compare(Recording(tmp_path / "wrong.json"))
    assert {(row.stage, row.name) for row in rows if row.verdict == "FAIL"} == {
        ("outputs", "G"),
        ("gradients of g_loss", "decoder/g_h3/w norm"),
        ("gradients of vae_loss", "encoder/e_mean/bias"),
    }
    assert ("outputs", "unheard_of") in {(row.stage, row.name) for row in rows if row.verdict == "skipped"}


def test_not_a_number_fails():
    assert compare.Row("losses", "d_loss", float("nan"), 1e-6).verdict == "FAIL"


@pytest.mark.parametrize(
    "text, words",
    [
        ("not json", "is no JSON"),
        ("[1]", "holds no object"),
        ("{}", "is no recording"),
        (
            json.dumps(
                {**SMALL, "variables": {"encoder/x/w": [10**9, 10**9]}, "losses": {}, "gradients": {}, "trace": []}
            ),
            "no sane shape",
        ),
    ],
)
def test_what_is_no_recording_is_an_error(tmp_path, text, words, capsys):
    (tmp_path / "r.json").write_text(text)
    np.savez(tmp_path / "r.npz", a=np.zeros(1))
    with pytest.raises(UserError, match=words):
        Recording(tmp_path / "r.json")
    assert compare.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_folder_without_recordings_is_an_error(tmp_path, capsys):
    assert compare.main([str(tmp_path)]) == 2
    assert "no recording in" in capsys.readouterr().err
