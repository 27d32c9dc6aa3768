"""Recordings of the original's mixture scripts: configuration, inputs, passes and tolerances."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from common.config import Config, LatentSpec
from common.errors import UserError
from common.models import registry
from common.models.mixture import Mixture, MixtureNoise, Pass
from common.nn import mixture_losses
from common.nn.mixture_networks import HIDDEN, is_dense
from common.nn.mixture_sampling import GivenGamma
from common.tf1.recording import BATCH_SEED, Recording
from common.tf1.replay import Point, Replay, recorded_config

_TERMS = {"reconstruction": "reconstruction_loss"}  # The recordings' names for ours.
_REPARAMETERISED = "loss_reparameterised"
_SHIFT = "gradient of a shift of the codes: it is zero, and the recorded one is rounding"
_MAX_EXPERTS = 64  # More would exhaust memory.
_GENERATION_SEED = 50  # Of the codes of `random_generation`.


def mask_of(recording: Recording) -> tuple[str, int]:
    """The kind of the mask, and how many random tensors it takes; they come before those of the K codes.

    Raises UserError if they are those of no mask.
    """
    if recording.length("experts") > _MAX_EXPERTS:
        raise UserError(f"{recording.path}: {recording.length('experts')} experts are implausible")
    size, experts, length = recording.batch_shape[0], recording.length("experts"), recording.length("latent_len")
    flat, pairs = size * experts, [size, experts]
    known = {
        "none": [],
        "bernoulli": [("uniform", [flat], "float32")] * 2,
        "concrete": [("uniform", pairs, "float32")],
        "gaussian": [("normal", pairs[::-1], "float64")],
        "hard": [("uniform", [flat, 1], "float64")],
    }
    codes = [("normal", [1, size, length], "float32")] * experts
    try:
        given = [(one["kind"], one["shape"], one["dtype"]) for one in recording.fields["noise"]]
    except (KeyError, TypeError):
        given = None
    for kind, mask in known.items():
        if given == [*mask, *codes]:
            return kind, len(mask)
    raise UserError(f"{recording.path}: noise is not that of a mixture of {experts} experts")


def config_of(recording: Recording) -> Config:
    """The recorded configuration. What the .json does not name follows from its noise and losses."""
    fields, shape, terms = recording.fields, recording.batch_shape[1:], recording.losses
    kind, _ = mask_of(recording)

    def describe() -> dict[str, Any]:
        others = sum(terms.get(name, 0.0) for name in ("reconstruction", "kl_dirichlet", "dhsic", "regularizer"))
        hyper: dict[str, Any] = {
            "learning_rate": fields["learning_rate"],
            **{f"adam_{name}": fields["adam"][name] for name in ("beta1", "beta2", "epsilon")},
            "mask": kind,
            "mask_regularizer": "regularizer" in terms,
            "kl_weight": round((terms["loss"] - others) / terms["kl"], 3),
        }
        if fields["hidden_units"] is not None:
            hyper["width"] = recording.length("hidden_units") / HIDDEN
        spec = registry.find("mixture", "code")
        return {
            "image_shape": (28, 28, 1) if shape == [784] else tuple(shape),
            "scaling": "unit" if shape == [784] else "tanh",
            "latent": LatentSpec(0, recording.length("experts"), recording.length("latent_len")),
            "hyper": spec.hyperparameters(**hyper),
            "model": spec.model,
        }

    return recorded_config(recording, describe)


class MixtureReplay(Replay):
    """The Deep Mixture Generative Autoencoder.

    Tolerances are how close another float32 implementation came (tests/recordings/mixture/README.md). Those of
    Concrete's gradients are wider: one of its recorded weights is 1.6e-4 from float64 itself, since the mask is a small
    difference from 1, and they follow from it.
    """

    FIELD = "experts"
    INPUTS = ("gamma",)
    INITIAL = {**dict.fromkeys(("w0", "w1"), (0.0, 0.05)), **dict.fromkeys(("wo", "b0", "b1", "bo"), (0.0, 0.1))}

    system: Mixture

    def __init__(self, recording: Recording):
        super().__init__(recording)
        self._mask, self._mask_tensors = mask_of(recording)
        self._dense = is_dense(self.system.config)
        if "dropout" in self.variables:
            self.variables["dropout"].assign([recording.number("dropout_initial")])
        self._set_tolerances()

    def build(self, recording: Recording) -> Mixture:
        """The system of `config_of`."""
        return registry.build(config_of(recording))

    def _set_tolerances(self) -> None:
        if not self._dense:
            self.OUTPUTS, self.LOSSES = {"": 3e-5}, {"": 2e-5, "dhsic": 3e-6}
            # Of the second, threads and kernels change up to 3e-3: some concentrations are about 1e-8.
            self.GRADIENTS = {"": (1e-3, 1.2e-2), _REPARAMETERISED: (4e-3, 1.2e-2)}
            losses, variables, self.FINAL, self.FINAL_LOSSES = (2e-5, 2e-5, 2e-4), 3e-3, 4e-2, 1e-3
        else:
            self.OUTPUTS, self.LOSSES = {"": 3e-6}, {"": 6e-7, "dhsic": 3e-6}
            self.GRADIENTS = {"": (6e-7, 2e-6), "dhsic": (3e-5, 8e-5), _REPARAMETERISED: (2e-6, 6e-6)}
            losses, variables, self.FINAL, self.FINAL_LOSSES = (1e-6, 5e-6, 1e-5), 1e-5, 6e-6, 2e-5
        if self._mask == "concrete":
            self.OUTPUTS = {**self.OUTPUTS, "weights": 2e-4}
            self.GRADIENTS = {
                **self.GRADIENTS,
                **dict.fromkeys(("loss", "reconstruction"), (4e-5, 1e-4)),
                _REPARAMETERISED: (2e-4, 2e-4),
            }
            variables, self.FINAL = 4e-5, 7e-5
        self.ITERATIONS = tuple((tolerance, variables) for tolerance in losses)

    def _inputs(self, index: int, point: str) -> tuple[tf.Tensor, MixtureNoise]:
        """Images [B, h, w, c] and noise of a point. 0 is the initial one; iterations and final images follow."""
        recording, random = self.recording, np.random.RandomState(BATCH_SEED)
        size, experts = recording.batch_shape[0], self.system.experts
        for _ in range(index + 1):
            x = random.uniform(0 if self._dense else -1, 1, recording.batch_shape).astype(np.float32)
            tensors = [
                (random.normal if one["kind"] == "normal" else random.uniform)(0, 1, one["shape"]).astype(one["dtype"])
                for one in recording.fields["noise"]
            ]
        mask, codes = tensors[: self._mask_tensors], tensors[self._mask_tensors :]
        if self._mask == "gaussian":
            noise = mask[0].T
        elif self._mask == "bernoulli":
            noise = np.stack([one.reshape(size, experts) for one in mask], axis=-1)
        else:
            noise = mask[0].reshape(size, experts) if mask else None
        (gamma,) = recording.arrays([f"{point}/gamma"], [(size, experts)])
        images = tf.reshape(tf.constant(x), [size, *self.system.config.image_shape])
        normal = tf.constant(np.concatenate(codes).transpose(1, 0, 2))
        return images, MixtureNoise(
            normal, GivenGamma(tf.constant(gamma)), None if noise is None else tf.constant(noise)
        )

    def initial(self) -> Point:
        """The losses' gradients at the initial point, those through the Dirichlet sample included."""
        system, (images, noise) = self.system, self._inputs(0, "initial")
        variables = system.variables_of("adam")

        @tf.function
        def passes():
            with tf.GradientTape(persistent=True) as tape:
                result = system.forward(images, noise, training=True)
                losses = self._losses(images, result)
            gradients = {
                name: tape.gradient(losses[name], variables) for name in self.recording.gradients if name in losses
            }
            with tf.GradientTape() as tape:
                loss = system.losses(images, system.forward(images, noise, training=True, reparameterised=True))["loss"]
            return self._outputs(result), losses, {**gradients, _REPARAMETERISED: tape.gradient(loss, variables)}

        outputs, losses, gradients = passes()
        names = [self.names[id(v)] for v in variables]
        return Point(
            outputs,
            losses,
            {loss: self._affected(loss, dict(zip(names, own, strict=True))) for loss, own in gradients.items()},
        )

    def _affected(self, loss: str, gradients: Mapping[str, tf.Tensor | None]) -> Mapping[str, tf.Tensor | None]:
        """Of the gradients through the Dirichlet sample, only those that it changes are recorded."""
        if loss != _REPARAMETERISED:
            return gradients
        return {name: gradient for name, gradient in gradients.items() if name in self.recording.gradients[loss]}

    def _losses(self, images: tf.Tensor, result: Pass) -> dict[str, tf.Tensor]:
        values = self.system.losses(images, result)
        each = mixture_losses.gaussian_kl(result.mean, result.stddev)
        values.update({f"kl{k + 1}": each[k] for k in range(self.system.experts)})
        return _recorded_names(values)

    def _outputs(self, result: Pass) -> dict[str, tf.Tensor]:
        system, size = self.system, self.recording.batch_shape[0]
        outputs = {"y": self._flat(result.outputs)}
        for k in range(system.experts):
            outputs[f"mean{k + 1}"], outputs[f"stddev{k + 1}"] = result.mean[:, k], result.stddev[:, k]
            outputs[f"mix{k + 1}"] = result.mixing[:, k : k + 1]
        outputs |= {"mix_parameters": result.concentration, "mix_samples": result.sample, "weights": result.weights}
        outputs["a1"] = mixture_losses.clip_concentration(result.concentration)
        if result.mask is not None:
            outputs["dropout_samples"] = result.mask
        if self._dense:
            outputs["sub1"] = result.weights[:, :1] * system.networks["decoder1"](result.codes[:, 0])
            z = np.random.RandomState(_GENERATION_SEED).normal(0, 1, (size, system.config.latent.continuous))
            shared = tf.repeat(tf.constant(z, tf.float32)[:, None], system.experts, axis=1)
            for k in range(system.experts):
                alone = tf.one_hot([k] * size, system.experts)
                outputs[f"random_generation{k + 1}"] = self._flat(system.decode(alone, shared))
            unmasked = self._flat(system.decode(result.sample, result.codes))
            outputs["final_output"] = tf.clip_by_value(unmasked, 1e-8, 1.0)
        return outputs

    def _flat(self, outputs: dict[str, tf.Tensor]) -> tf.Tensor:
        return tf.reshape(outputs["images"], self.recording.batch_shape)

    def step(self, index: int) -> Mapping[str, tf.Tensor]:
        """One step of Adam."""
        return _recorded_names(self.update(*self._inputs(1 + index, f"step{index}")))

    def final(self) -> Point:
        """Reconstructions y and the losses of the last batch."""
        images, noise = self._inputs(1 + len(self.recording.trace), "final")
        result = self.system.forward(images, noise, training=True)
        return Point({"y": self._flat(result.outputs)}, self._losses(images, result), {})

    def gradient_tolerances(self, loss: str, name: str) -> tuple[float, float]:
        """Wider for the mask of Concrete, whose rounding the temperature of 0.1 amplifies."""
        if name == "dropout" and self._mask == "concrete":
            return 2e-2, 2e-2
        return super().gradient_tolerances(loss, name)

    def left_out(self, loss: str, name: str) -> str | None:
        """A shift of an expert's codes leaves dHSIC as it is."""
        return _SHIFT if loss == "dhsic" and name.endswith("e_mean/bias") else None


def _recorded_names(values: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {**values, **{name: values[ours] for name, ours in _TERMS.items()}}
