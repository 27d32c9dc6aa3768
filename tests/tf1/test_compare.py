"""Parity with the original's recordings, and that the comparison notices deviations."""

import json
import math
import shutil
import zlib

import numpy as np
import pytest

from common.errors import UserError
from common.models import registry
from common.tf1 import __main__ as tf1
from common.tf1 import compare, infovaegan
from common.tf1.checkpoints import network_variables
from common.tf1.recording import Recording, initial_value, projection
from helpers.paths import RECORDINGS

# How many training iterations are compared: `python -m common.tf1 compare tests/recordings` compares all.
ITERATIONS = {"chairs": 0, "celeba_toplevel": 1, "dsprites": 0, "infogan_dsprites": 3}


@pytest.mark.parametrize(("name", "iterations"), ITERATIONS.items())
def test_recording_of_the_original_is_reproduced(name, iterations):
    rows = compare.compare(Recording(RECORDINGS / f"{name}.json"), iterations)
    print(compare.summary(rows))
    assert [row for row in rows if row.verdict == "FAIL"] == []
    # Nothing else is left out.
    assert {row.note for row in rows if row.verdict == "skipped"} <= {compare.NORMALISED, compare.AVERAGE}
    losses = ["d_loss", "g_loss", "q_loss"] + ["vae_loss"] * (name != "infogan_dsprites")
    stages = {"outputs", "losses", *(f"gradients of {loss}" for loss in losses)}
    stages |= {f"iteration {i}" for i in range(iterations)} | ({"final images"} if iterations == 3 else set())
    assert {row.stage for row in rows if row.verdict == "pass"} == stages


def test_recordings_determine_their_configurations():
    configs = {name: infovaegan.config_of(Recording(RECORDINGS / f"{name}.json")) for name in ITERATIONS}
    values = {
        name: (c.model, getattr(c.hyper, "categorical_kl_weight", None), c.hyper.first_batch_norm, c.image_shape)
        for name, c in configs.items()
    }
    assert values == {
        "chairs": ("infovaegan", 0.001, False, (64, 64, 3)),
        "celeba_toplevel": ("infovaegan", 0.0, False, (64, 64, 3)),
        "dsprites": ("infovaegan", 0.001, False, (64, 64, 1)),
        "infogan_dsprites": ("infogan", None, True, (64, 64, 1)),
    }
    assert [c.hyper.generator_multiplier for c in configs.values()] == [5, 5, 5, 10]


SMALL = {
    "image_dims": [28, 28, 1],
    "batch_size": 4,
    "noise_len": 5,
    "discrete_len": 3,
    "continous_len": 2,
    "learning_rate": 1e-3,
    "multipliers": {"g": 2, "q": 3, "v": 1},
    "variables": {"encoder/e_log_sigma_sq/bias": [2]},
    "losses": {"KL_y": 0.0},
    "gradients": {},
    "trace": [],
}


def fingerprints(tensors):
    values = {name: tensor.numpy() for name, tensor in tensors.items()}
    return {
        name: {"norm": float(np.linalg.norm(v.astype(np.float64))), "projection": projection(name, v)}
        for name, v in values.items()
    }


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A recording of this port's own small model, with a layer numbered as some original might."""
    path, random = tmp_path_factory.mktemp("recordings") / "own.json", np.random.RandomState(5)
    runs = ["noise", *(f"step{step}/{run}_noise" for step in range(3) for run in ("d", "gqv"))]
    arrays = {
        f"{run}/{i}": (random.uniform(size=(4, 3)) if i % 2 else random.normal(size=(4, 2))).astype(np.float32)
        for run in runs
        for i in range(5)
    }

    def write(fields):
        path.write_text(json.dumps(fields))
        np.savez(path.with_suffix(".npz"), **arrays)
        return Recording(path)

    shapes = network_variables(registry.build(infovaegan.config_of(write(SMALL)), training=False))
    variables = {name.replace("g_h4", "g_h17"): list(v.shape) for name, v in shapes.items()}
    replay = compare.open_replay(write({**SMALL, "variables": variables}))
    outputs, losses, gradients = replay.initial()
    arrays["out/G"] = outputs["G"].numpy()[:2]
    fields = {
        **SMALL,
        "variables": variables,
        "losses": {name: float(losses[name]) for name in ("d_loss", "vae_loss", "KL_y")},
        "gradients": {loss: fingerprints(values) for loss, values in gradients.items()},
        "trace": [],
    }
    for step in range(3):
        values = replay.step(step)
        recorded = {name: float(values[name]) for name in ("d_loss", "g_loss", "q_loss", "vae_loss")}
        fields["trace"].append({**recorded, "variables": fingerprints(replay.variables)})
    replay.recording.trace.extend(fields["trace"])  # The final batch follows those of the iterations.
    arrays["final/G"] = replay.final().outputs["G"].numpy()[:2]
    write(fields)
    return path


@pytest.mark.parametrize("error", [math.nan, math.inf])
def test_a_failure_without_a_number_is_the_largest(error):
    rows = [compare.Row("stage", "small", 1e-6, 2e-3), compare.Row("stage", "broken", error, 2e-3)]
    assert "1 pass" in compare.summary(rows) and "1 FAIL" in compare.summary(rows)
    assert compare.summary(rows).endswith("(broken)")


def test_renamed_layers_and_other_sizes_pass(own, capsys):
    assert tf1.main(["compare", str(own.parent)]) == 0
    printed = capsys.readouterr().out
    assert "own.json: pass" in printed and "decoder/g_h17/w projection" in printed
    assert "skipped  (moving average" in printed and "skipped  (bias in front of a batch norm" in printed


@pytest.mark.parametrize(
    ("field", "value", "stage"),
    [
        ("multipliers", {"g": 2, "q": 3, "v": 2}, "iteration 0"),
        ("losses", {"vae_loss": 1.0}, "losses"),  # Without KL_y the term must be gone.
    ],
)
def test_wrong_setting_fails(own, tmp_path, capsys, field, value, stage):
    (tmp_path / "wrong.json").write_text(json.dumps({**json.loads(own.read_text()), field: value}))
    shutil.copy(own.with_suffix(".npz"), tmp_path / "wrong.npz")
    assert tf1.main(["compare", "--summary", "--iterations", "1", str(tmp_path / "wrong.json")]) == 1
    failed = [line for line in capsys.readouterr().out.splitlines()[1:] if " 0 FAIL" not in line]
    assert failed[0].split("  ")[1] == stage


def test_wrong_gradients_and_tensors_fail(own, tmp_path):
    fields, arrays = json.loads(own.read_text()), dict(np.load(own.with_suffix(".npz")))
    fields["gradients"]["g_loss"]["decoder/g_h3/w"]["norm"] *= 1.01
    del fields["gradients"]["vae_loss"]["encoder/e_mean/bias"]
    (tmp_path / "wrong.json").write_text(json.dumps(fields))
    changed = {"out/G": arrays["out/G"] + 1e-3, "out/unknown": np.zeros(3)}
    np.savez(tmp_path / "wrong.npz", **{**arrays, **changed})
    rows = compare.compare(Recording(tmp_path / "wrong.json"), iterations=0)
    assert {(row.stage, row.name) for row in rows if row.verdict == "FAIL"} == {
        ("outputs", "G"),
        ("gradients of g_loss", "decoder/g_h3/w norm"),
        ("gradients of vae_loss", "encoder/e_mean/bias"),
    }
    assert ("outputs", "unknown") in {(row.stage, row.name) for row in rows if row.verdict == "skipped"}


@pytest.mark.parametrize(
    ("error", "verdict", "remark"),
    [(1e-6, "pass", ""), (1.5e-6, "pass", "within the margin of 2"), (3e-6, "FAIL", ""), (float("nan"), "FAIL", "")],
)
def test_verdict_allows_a_margin_and_no_nan(error, verdict, remark):
    row = compare.Row("losses", "d_loss", error, 1e-6)
    assert (row.verdict, row.remark) == (verdict, remark)


def test_initial_values_follow_from_names():
    """Section "Initial variables" of tests/recordings/README.md; the seed is the CRC-32 of the name."""
    for leaf, mean, stddev in (("w", 0, 0.02), ("gamma", 1, 0.1), ("moving_variance", 1, 0)):
        name = f"encoder/x/{leaf}"
        standard = np.random.RandomState(zlib.crc32(name.encode())).normal(size=3)
        np.testing.assert_allclose(initial_value(name, [3]), mean + stddev * standard, rtol=1e-6)
    assert initial_value("a/w0", [2], {"w0": (2.0, 0.0)}).tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not json", "is not JSON"),
        ("[1]", "should hold an object"),
        ("{}", "is not a recording"),
        (json.dumps({**SMALL, "variables": {"encoder/x/w": [10**9, 10**9]}}), "implausible shape"),
        (json.dumps({**SMALL, "batch_size": 0}), "batch_size is 0"),
    ],
)
def test_other_files_are_errors(tmp_path, text, words, capsys):
    (tmp_path / "r.json").write_text(text)
    np.savez(tmp_path / "r.npz", a=np.zeros(1))
    with pytest.raises(UserError, match=words):
        Recording(tmp_path / "r.json")
    assert tf1.main(["compare", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_unknown_family_and_empty_folder_are_errors(tmp_path, capsys):
    assert tf1.main(["compare", str(tmp_path)]) == 2
    assert "no recording in" in capsys.readouterr().err
    (tmp_path / "r.json").write_text(json.dumps({k: v for k, v in SMALL.items() if k != "discrete_len"}))
    np.savez(tmp_path / "r.npz", a=np.zeros(1))
    assert tf1.main(["compare", str(tmp_path)]) == 2
    assert "should have a field discrete_len" in capsys.readouterr().err
