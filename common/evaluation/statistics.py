"""Copies of a system for inference, with other batch-norm statistics: of each batch, moving, or standing averages."""

import dataclasses
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from common.data.dataset import Dataset
from common.evaluation.encode import AVERAGES, evaluation_seed, to_inputs
from common.evaluation_options import SMALL
from common.models import registry
from common.models.system import System
from common.nn.distributions import Latents
from common.nn.layers import BatchNorm, plain

BATCHES = 150  # That standing averages are taken over, up to `SMALL` pixels.
_BATCHES_OF_LARGE = 30  # Above: there a batch norm averages over the positions of an image, too.
_FEWEST = 10


class Statistics:
    """A system under each kind of batch-norm statistics; each copy is built once, without optimizers, and reused.

    Args:
        system: whose weights and moving averages of training the copies take. It is left as it is.
        dataset: whose training images the standing averages of the encoders are taken over; None if nothing is encoded.
        final: whether the averages of `system` are those of inference already, as those of `.keras` files are.

    Attributes:
        system: the system.
    """

    def __init__(self, system: System, dataset: Dataset | None, final: bool = False):
        self.system, self._dataset, self._final = system, dataset, final
        self._copies: dict[str, System] = {}
        self._fresh: dict[str, tuple[tuple[int, int], bool]] = {}  # The age and `generates` of each copy.
        self._sums: list[_Sums] = []

    def under(self, kind: str | None = None, generates: bool = True) -> System:
        """Return the system at its present weights under `kind` ("batch", "moving" or "standing"; by default its own).

        A copy is refreshed if the system has moved on to another step, or was rolled back. Without `generates`,
        standing averages are taken for the encoders alone.
        """
        kind = kind or self.system.config.batch_norm
        if kind == self.system.config.batch_norm and kind != "standing":
            return self.system
        age = self._age()
        if self._fresh.get(kind) not in ((age, True), (age, generates)):
            copy = self._copy(kind)
            if kind == "standing" and not self._final:
                self._average(copy, generates)
            self._fresh[kind] = age, generates
        return self._copies[kind]

    def independent(self) -> System:
        """Return the system under statistics that make an image independent of its batch.

        They are its own, or standing ones if those are of each batch.
        """
        own = self.system.config.batch_norm
        return self.under("standing" if own == "batch" else own)

    def adopt(self, standing: System) -> None:
        """Take `standing`, a system at the present weights and at its final averages, for the copy of that kind."""
        self._copies["standing"] = standing
        self._fresh["standing"] = self._age(), True

    def networks(self) -> dict[str, keras.Model]:
        """Return the networks by name as `.keras` files hold them: at the averages of `independent`, in plain Keras."""
        return {name: plain(network) for name, network in self.independent().networks.items()}

    def _age(self) -> tuple[int, int]:
        """Return what tells the present weights from earlier ones: after a rollback, a step comes a second time."""
        return int(self.system.step.numpy()), int(self.system.rollbacks.numpy())

    def _copy(self, kind: str) -> System:
        """Return the copy of that kind, at the weights and averages of the system."""
        if kind not in self._copies:
            config = dataclasses.replace(self.system.config, batch_norm="batch" if kind == "observed" else kind)
            self._copies[kind] = registry.build(config, training=False)
        copy = self._copies[kind]
        for name, network in self.system.networks.items():
            copy.networks[name].set_weights(network.get_weights())
        copy.step.assign(self.system.step)
        return copy

    def _average(self, copy: System, generates: bool) -> None:
        """Set the averages of `copy` to those over mixed batches, normalised by their own statistics.

        The encoders see real training images, the generator samples from the prior. Layers that inference does not use
        keep their moving averages.
        """
        observed = self._copy("observed")
        self._sums = self._sums or [_Sums(layer) for layer in batch_norms(observed)]
        for sums in self._sums:
            sums.reset()
        size, seed, count = observed.config.batch_size, observed.config.seed, self.count_batches()
        if self._dataset is not None:
            images = self._dataset.train.images
            order = np.resize(np.random.RandomState(seed).permutation(len(images)), count * size)
            for number, batch in enumerate(order.reshape(count, size)):
                inputs = to_inputs(images[batch], observed.config.scaling)
                if observed.can("encode"):
                    observed.encode(inputs)
                if observed.can("infer_noise"):
                    observed.encode_noise(inputs)
                if generates and observed.can("reconstruct") and not observed.can("sample"):
                    observed.reconstruct(inputs, evaluation_seed(seed, AVERAGES, number))
        if generates and observed.can("sample"):
            latents = observed.sample_prior(count * size, evaluation_seed(seed, AVERAGES))
            for start in range(0, count * size, size):
                observed.generate(Latents(*(part[start : start + size] for part in latents)))
        for sums, layer in zip(self._sums, batch_norms(copy), strict=True):
            sums.write(layer)

    def count_batches(self) -> int:
        """Return how many batches standing averages are taken over: no more than a short run was trained on."""
        large = max(self.system.config.image_shape[:2]) > SMALL
        return min(_BATCHES_OF_LARGE if large else BATCHES, max(_FEWEST, int(self.system.step.numpy())))


class _Sums:
    """The sums of the batch means and variances that a layer sees."""

    def __init__(self, layer: BatchNorm):
        shape = layer.get_weights()[-1].shape
        self._count, self._mean, self._variance = (tf.Variable(tf.zeros(s)) for s in ((), shape, shape))
        layer.observer = self.add

    def add(self, mean: tf.Tensor, variance: tf.Tensor) -> None:
        self._count.assign_add(1.0)
        self._mean.assign_add(mean)
        self._variance.assign_add(variance)

    def reset(self) -> None:
        for variable in (self._count, self._mean, self._variance):
            variable.assign(tf.zeros_like(variable))

    def write(self, layer: BatchNorm) -> None:
        """Set the averages of `layer`, unless nothing was seen."""
        if self._count > 0:
            averages = [self._mean / self._count, self._variance / self._count]
            layer.set_weights([*layer.get_weights()[:-2], *(average.numpy() for average in averages)])


def batch_norms(system: System) -> Iterator[BatchNorm]:
    """Yield the batch-norm layers of all networks, nested ones included."""
    for network in system.networks.values():
        yield from (layer for layer in network._flatten_layers() if isinstance(layer, BatchNorm))
