"""The command `export`: generator and encoder for programs without this project, as SavedModel and as ONNX."""

import dataclasses
import logging
import pathlib
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from common.data.pixels import RANGES
from common.errors import UserError
from common.evaluation.encode import SAMPLES, evaluation_seed
from common.io.atomic import write_json
from common.models import registry
from common.models.system import System
from common.nn.distributions import Latents
from common.run_json import provenance
from common.runs import make_writable_folder

if TYPE_CHECKING:
    from common.evaluation.trained import TrainedModel

EXPORT_FILE = "export.json"
NO_ONNX = "no ONNX files: they need the extra `onnx` (pip install -e '.[onnx]')"

logger = logging.getLogger(__name__)


def export(model: "TrainedModel", folder: pathlib.Path | str) -> list[str]:
    """Write what `model` can do to `folder`; return the names of what was written.

    `generator` and `encoder` are SavedModels, `generator.onnx` and `encoder.onnx` the same as ONNX if the packages for
    it are installed, and export.json says where they are from and what their inputs are. Images are float32 in [0, 1],
    [n, h, w, c]; networks compute in float32 with the averages of `model`, so an image does not depend on the others.

    Raises:
        UserError: the folder cannot be written to, or the encoder lacks its averages.
    """
    if model.no_images and model.system.can("encode"):
        raise UserError(model.no_images)
    folder, system = pathlib.Path(folder), _in_float32(model.system)
    make_writable_folder(folder)
    signatures = _signatures(system)
    if not signatures:
        raise UserError(f"{registry.title_of(system.config)} neither generates images nor encodes them")
    written, onnx = [], find_spec("tf2onnx") is not None
    for name, functions in signatures.items():
        _save(functions, folder / name)
        written.append(name)
        if onnx:
            _save_onnx(next(iter(functions.values())), folder / f"{name}.onnx")
            written.append(f"{name}.onnx")
    facts = {name: {kind: _describe(one) for kind, one in functions.items()} for name, functions in signatures.items()}
    head = {**provenance(system.config, model.source), "step": int(system.step.numpy())}
    write_json({**head, "statistics": system.config.batch_norm, "signatures": facts}, folder / EXPORT_FILE)
    logger.info("Wrote %s to %s%s", ", ".join(written), folder, "" if onnx else f"; {NO_ONNX}")
    return [*written, EXPORT_FILE]


def _in_float32(system: System) -> System:
    """Return the system itself, or a copy of it that computes in float32."""
    if system.config.precision == "float32":
        return system
    copy = registry.build(dataclasses.replace(system.config, precision="float32"), training=False)
    for name, network in system.networks.items():
        copy.networks[name].set_weights(network.get_weights())
    copy.step.assign(system.step)
    return copy


def _signatures(system: System) -> dict[str, dict[str, Any]]:
    """Return the functions of each SavedModel by name; the first of each is the one that ONNX gets, too."""
    pixels, latent, shape = RANGES[system.config.scaling], system.config.latent, system.config.image_shape
    lengths = {"noise": latent.noise, "category": latent.categories, "continuous": latent.continuous}
    lengths = {name: length for name, length in lengths.items() if length}
    inputs = [tf.TensorSpec([None, length], tf.float32, name) for name, length in lengths.items()]

    def generate(*given: tf.Tensor) -> dict[str, tf.Tensor]:
        codes = dict(zip(lengths, given, strict=True))
        empty = tf.zeros([tf.shape(given[0])[0], 0])
        latents = Latents(*(codes.get(name, empty) for name in Latents._fields))
        return {"images": pixels.to_unit(system.generate(latents))}

    def sample(count: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        latents = system.sample_prior(count, tf.random.fold_in(evaluation_seed(0, SAMPLES), seed))
        drawn = {name: value for name, value in latents._asdict().items() if name in lengths}
        return {"images": pixels.to_unit(system.generate(latents)), **drawn}

    def encode(images: tf.Tensor) -> dict[str, tf.Tensor]:
        posterior = system.encode(pixels.from_unit(images))
        found = {"continuous": posterior.mean, "stddev": posterior.stddev}
        if posterior.logits is not None:
            found["probabilities"] = tf.nn.softmax(posterior.logits)
        return {name: tf.identity(value) for name, value in found.items() if value is not None}

    signatures: dict[str, dict[str, Any]] = {}
    if system.can("sample"):
        numbers = [tf.TensorSpec([], tf.int32, name) for name in ("count", "seed")]
        signatures["generator"] = {"generate": _traced(generate, inputs), "sample": _traced(sample, numbers)}
    if system.can("encode"):
        signatures["encoder"] = {"encode": _traced(encode, [tf.TensorSpec([None, *shape], tf.float32, "images")])}
    return signatures


def _traced(function: Callable, inputs: list[tf.TensorSpec]) -> Any:
    return tf.function(function, input_signature=inputs)


class _Weights(tf.Module):
    """What a SavedModel needs to hold for its functions."""

    def __init__(self, functions: dict[str, Any]):
        super().__init__()
        self.kept = [v for function in functions.values() for v in function.get_concrete_function().variables]


def _save(functions: dict[str, Any], folder: pathlib.Path) -> None:
    """Write a SavedModel with these signatures."""
    shutil.rmtree(folder, ignore_errors=True)
    tf.saved_model.save(_Weights(functions), str(folder), signatures=functions)


def _save_onnx(function: Any, path: pathlib.Path) -> None:
    """Write one function as ONNX."""
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    tf2onnx.convert.from_function(function, function.input_signature, output_path=str(path))


def _describe(function: Any) -> dict[str, Any]:
    """Return the shapes of a function's inputs and outputs by name; None is n."""
    outputs = function.get_concrete_function().structured_outputs
    inputs = {spec.name: list(spec.shape) for spec in function.input_signature}
    return {"inputs": inputs, "outputs": {name: list(value.shape) for name, value in outputs.items()}}
