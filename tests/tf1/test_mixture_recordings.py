"""Parity with recordings of the original's mixture scripts, and the configurations that they name."""

import json
import shutil
import types

import numpy as np
import pytest

from common.errors import UserError
from common.tf1 import checkpoints, compare
from common.tf1 import mixture as replay
from common.tf1.recording import Recording
from helpers.paths import RECORDINGS
from helpers.systems import EVERY

FOLDER = RECORDINGS / "mixture"
MASKS = {
    "mnist_4_bernoulli": "bernoulli",
    "mnist_4_gaussian": "gaussian",
    "mnist_4_concrete": "concrete",
    "mnist_6_hard_bernoulli": "hard",
    "celeba_4_bernoulli": "hard",
}


@pytest.mark.parametrize("name", MASKS)
def test_recording_of_the_original_is_reproduced(name):
    large = name.startswith("celeba")  # One iteration of it takes as long as all of the others.
    rows = compare.compare(Recording(FOLDER / f"{name}.json"), iterations=0 if large else None)
    assert [row for row in rows if row.verdict == "FAIL"] == []
    reasons = {compare.NORMALISED, replay._SHIFT} if large else set()
    assert {row.note for row in rows if row.verdict == "skipped"} == reasons
    terms = {"loss", "reconstruction", "kl", "kl_dirichlet", "dhsic", "loss_reparameterised"}
    terms |= set() if large else {"regularizer"}
    stages = {"outputs", "losses"}
    stages |= set() if large else {"iteration 0", "iteration 1", "iteration 2", "final images"}
    assert {row.stage for row in rows if row.verdict == "pass"} == stages | {f"gradients of {term}" for term in terms}


def test_recordings_name_their_configurations():
    configs = {name: replay.config_of(Recording(FOLDER / f"{name}.json")) for name in MASKS}
    assert {name: config.hyper.mask for name, config in configs.items()} == MASKS
    assert {name: config.latent.categories for name, config in configs.items()} == {
        name: 6 if "_6_" in name else 4 for name in MASKS
    }
    weights = {name: config.hyper.kl_weight for name, config in configs.items()}
    assert weights == dict.fromkeys(MASKS, 1.0) | {"celeba_4_bernoulli": 0.1}
    assert [name for name, config in configs.items() if not config.hyper.mask_regularizer] == ["celeba_4_bernoulli"]


UNIFORM, HARD, GAUSSIAN = ("uniform", "float32"), ("uniform", "float64"), ("normal", "float64")


@pytest.mark.parametrize(
    ("kind", "noise"),
    [
        ("none", []),
        ("bernoulli", [(*UNIFORM, [24])] * 2),
        ("concrete", [(*UNIFORM, [8, 3])]),
        ("gaussian", [(*GAUSSIAN, [3, 8])]),
        ("hard", [(*HARD, [24, 1])]),
    ],
)
def test_noise_names_the_mask(kind, noise):
    every = [*noise, *[("normal", "float32", [1, 8, 5])] * 3]
    fields = {"noise": [{"kind": k, "dtype": dtype, "shape": shape} for k, dtype, shape in every]}
    lengths = {"experts": 3, "latent_len": 5}
    recording = types.SimpleNamespace(batch_shape=[8, 784], fields=fields, length=lengths.get, path="x")
    assert replay.mask_of(recording) == (kind, len(noise))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise": []}, "noise is not that of a mixture of 4 experts"),
        ({"noise": None}, "noise is not that of a mixture of 4 experts"),
        ({"experts": 5}, "noise is not that of a mixture of 5 experts"),
        ({"experts": 65}, "65 experts are implausible"),
        ({"hidden_units": 10**9}, "hidden_units is 1000000000, should be a length"),
        ({"adam": {}}, "describes a configuration that cannot be built"),
        ({"learning_rate": 10**400}, "describes a configuration that cannot be built"),
        ({"dropout_initial": "x"}, "dropout_initial is x, should be a number"),
    ],
)
def test_damaged_recordings_are_refused(tmp_path, change, message):
    fields = json.loads((FOLDER / "mnist_4_bernoulli.json").read_text())
    (tmp_path / "bad.json").write_text(json.dumps({**fields, **change}))
    shutil.copy(FOLDER / "mnist_4_bernoulli.npz", tmp_path / "bad.npz")
    with pytest.raises(UserError, match=message):
        replay.MixtureReplay(Recording(tmp_path / "bad.json"))


def test_checkpoints_have_the_original_s_names(build_system):
    system = build_system(**EVERY["mixture"])
    names = set(checkpoints.all_variables(system))
    networks = {f"encoder{k}/{leaf}{i}" for k in range(1, 5) for leaf in "wb" for i in "01o"}
    networks |= {f"decoder{k}/{leaf}0" for k in range(1, 5) for leaf in "wb"}
    networks |= {f"final/{leaf}{i}" for leaf in "wb" for i in "1o"} | {"dropout"}
    slots = {f"{name}{end}" for name in networks for end in ("/Adam", "/Adam_1")}
    assert names == networks | slots | {"beta1_power", "beta2_power"}


def test_a_checkpoint_returns_from_its_tf1_form(build_system, tmp_path):
    system = build_system(**{**EVERY["mixture"], "width": 1.0})
    wanted = {name: v.numpy() for name, v in checkpoints.all_variables(system).items()}
    checkpoints.save(system, str(tmp_path / "Dropout"))
    for variable in checkpoints.all_variables(system).values():
        variable.assign(variable.numpy() + 1)
    checkpoints.load(system, str(tmp_path / "Dropout"))
    for name, variable in checkpoints.all_variables(system).items():
        np.testing.assert_array_equal(variable, wanted[name])
