"""Exported networks, in runtimes that do not import this project, against the project's own outputs."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from common.errors import UserError
from common.evaluation.export import export
from common.evaluation.opening import open_trained
from common.evaluation.trained import TrainedModel
from common.models import registry
from helpers.paths import ROOT
from helpers.systems import make_config

LIGHT = ROOT / "results" / "mnist" / "light"
ELSEWHERE = """
import sys
import numpy as np, tensorflow as tf, keras

folder, networks = sys.argv[1:]
given = dict(np.load(f"{folder}/given.npz"))
generator, encoder = (tf.saved_model.load(f"{folder}/{name}").signatures for name in ("generator", "encoder"))
codes = {name: tf.constant(given[name]) for name in ("noise", "category", "continuous")}
found = {"images": generator["generate"](**codes)["images"]}
found |= encoder["encode"](images=tf.constant(given["images"]))
drawn = generator["sample"](count=tf.constant(3), seed=tf.constant(1))
found |= {f"drawn_{name}": value for name, value in drawn.items()}
network = keras.saving.load_model(f"{networks}/generator.keras")
found["network"] = network([codes["noise"], tf.concat([codes["category"], codes["continuous"]], 1)])
assert not any(name.split(".")[0] == "common" for name in sys.modules)
np.savez(f"{folder}/found.npz", **{name: value.numpy() for name, value in found.items()})
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The shipped digits: the model, its exported files, latents, and images of them."""
    folder, model = tmp_path_factory.mktemp("export"), open_trained(LIGHT)
    names = export(model, folder)
    latents = model.draw(5, seed=3)
    images = model.generate(latents)
    np.savez(folder / "given.npz", images=images, **latents._asdict())
    return model, folder, names, latents, images


def test_the_files_are_described(exported):
    _, folder, names, *_ = exported
    assert set(names) <= {path.name for path in folder.iterdir()}
    facts = json.loads((folder / "export.json").read_text())
    assert facts["statistics"] == "standing" and facts["step"] == 5622
    assert facts["signatures"]["generator"]["generate"] == {
        "inputs": {"noise": [None, 16], "category": [None, 10], "continuous": [None, 2]},
        "outputs": {"images": [None, 28, 28, 1]},
    }


def test_a_process_without_the_project_finds_the_same(exported):
    model, folder, _, _, images = exported
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", ELSEWHERE, str(folder), str(LIGHT)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found, codes = np.load(folder / "found.npz"), model.encode(images)
    for name, wanted in (("images", images), ("network", images), ("probabilities", codes.probabilities)):
        np.testing.assert_allclose(found[name], wanted, atol=1e-5)
    np.testing.assert_allclose(found["continuous"], codes.continuous, atol=1e-4)
    drawn = (found[f"drawn_{name}"] for name in ("noise", "category", "continuous"))
    np.testing.assert_allclose(found["drawn_images"], model.generate(model.draw()._make(drawn)), atol=1e-5)


def test_onnx_runtime_finds_the_same(exported):
    runtime = pytest.importorskip("onnxruntime", reason="the extra test is not installed")
    model, folder, _, latents, images = exported
    generator, encoder = (runtime.InferenceSession(folder / f"{name}.onnx") for name in ("generator", "encoder"))
    np.testing.assert_allclose(generator.run(["images"], latents._asdict())[0], images, atol=1e-5)
    outputs = encoder.run(["continuous", "probabilities"], {"images": images})
    codes = model.encode(images)
    np.testing.assert_allclose(outputs[0], codes.continuous, atol=1e-4)
    np.testing.assert_allclose(outputs[1], codes.probabilities, atol=1e-5)


def test_an_encoder_without_averages_is_not_exported(tmp_path):
    model = TrainedModel(registry.build(make_config(width=0.125), training=False), "nowhere", "no images here")
    with pytest.raises(UserError, match="no images here"):
        export(model, tmp_path / "export")
    assert not list(tmp_path.iterdir())


def test_networks_of_reduced_precision_are_exported_in_float32(tmp_path, monkeypatch):
    monkeypatch.setattr("common.evaluation.export.find_spec", lambda name: None)
    config = make_config(width=0.125, batch_norm="standing", precision="bfloat16")
    names = export(TrainedModel(registry.build(config, training=False), "nowhere"), tmp_path)
    assert names == ["generator", "encoder", "export.json"]
    assert json.loads((tmp_path / "export.json").read_text())["config"]["precision"] == "float32"
