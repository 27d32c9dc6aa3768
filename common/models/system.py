"""What every trained model is: networks, optimizers, a step counter, and randomness derived from (seed, step)."""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from common.config import Config
from common.nn import replicas
from common.nn.distributions import Latents, NoisePosterior, Posterior
from common.nn.optimizers import TF1Adam

_LATENTS = 0  # Folded into a step's seed.
_ROLLBACK_SALT = 0x5DEECE6D  # Odd, so that no two rollback counts share a seed.


class Partial(NamedTuple):
    """A loss that not every step computes: its `value`, and whether this step has it (`present`, 1.0 or 0.0)."""

    value: tf.Tensor
    present: tf.Tensor


class System(keras.Model):
    """Networks with their optimizers, trained by `fit` on batches of images [B, h, w, c].

    A subclass builds its networks and optimizers, samples the randomness of a step (`sample_step`), and says what one
    update is (`update`). What evaluation, figures and sampling may ask of it is in `CAPABILITIES`:

    - "encode": `encode(images)`; fields of the `Posterior` that the system does not have are None;
    - "sample": `sample_prior(batch_size, seed)` and `generate(latents)`;
    - "reconstruct": `reconstruct(images, seed)`;
    - "infer_noise": `encode_noise(images)`;
    - "experts": what `Mixture` adds: `reconstruct_unmasked(images, seed)`, `contributions(images, seed)` and
      `experts_in_use(batch_size, seed)`.

    Attributes:
        config: the `Config` it was built from.
        networks: name -> keras.Model; each is saved as `<name>.keras` when training ends.
        optimizers: name -> TF1Adam; empty in a system that was built without training.
        optimizer_networks: name of the optimizer -> names of the networks that it updates.
        trackers: name of a loss -> its mean over the epoch so far.
        step: int64 variable, the number of training steps taken.
        rollbacks: int64 variable, how often the run was rolled back; each rollback gives training other noise.
    """

    CAPABILITIES: frozenset[str] = frozenset()
    TF1_SCOPES: dict[str, str] = {}  # Network -> its variable scope in the original's checkpoints.

    def __init__(
        self,
        config: Config,
        networks: dict[str, keras.Model],
        optimizers: dict[str, tuple[TF1Adam, tuple[str, ...]]],
        losses: tuple[str, ...],
    ):
        """Initialise.

        Args:
            config: the configuration.
            networks: by name.
            optimizers: name -> (optimizer, names of the networks that it updates).
            losses: names of the losses to report, out of those that `update` returns.
        """
        super().__init__(name=f"{config.model}_{config.variant}")
        self.config = config
        self.networks = networks
        self.optimizers = {name: optimizer for name, (optimizer, _) in optimizers.items()}
        self.optimizer_networks = {name: updated for name, (_, updated) in optimizers.items()}
        for name, optimizer in self.optimizers.items():
            optimizer.build(self.variables_of(name))
        self.step, self.rollbacks = (
            keras.Variable(0, dtype="int64", trainable=False, aggregation="only_first_replica", name=name)
            for name in ("step", "rollbacks")
        )
        self.trackers = {name: _EpochMean(name=name) for name in losses}
        self.built = True
        self.compile(optimizer=None, jit_compile=False)

    def can(self, capability: str) -> bool:
        """Return whether this system has a capability, one of those listed above."""
        return capability in self.CAPABILITIES

    def train_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """One training step on `images` [B, h, w, c]; returns the epoch's mean losses so far.

        Under tf.distribute, `images` is the per-replica batch; randomness is sampled for the global batch and sliced.
        """
        random = replicas.per_replica_slice(self.sample_step(self.step, self.config.batch_size))
        losses = self.update(images, random)
        self.step.assign_add(1)
        reported = replicas.all_reduce_mean({name: losses[name] for name in self.trackers})
        return replicas.expand_scalars(self.report(reported))

    def sample_step(self, step: tf.Tensor, batch_size: int) -> Any:
        """Sample all randomness of step `step` (int64 scalar) for `update`: a structure of tensors [B, ...]."""
        raise NotImplementedError

    def update(self, images: tf.Tensor, random: Any) -> dict[str, Any]:
        """One update of all networks, in place; returns the losses by name: scalars, or `Partial` ones."""
        raise NotImplementedError

    def compile_with_xla(self) -> None:
        """Compile `update` with XLA. Randomness stays outside: XLA's generators give other numbers."""
        self.update = tf.function(self.update, jit_compile=True, autograph=False)

    def apply_gradients(self, gradients: dict[str, list[tf.Tensor]]) -> None:
        """One step of each optimizer named in `gradients`, in the order of `optimizers`.

        Each value has one gradient per variable of `variables_of(name)`.
        """
        count = replicas.replicas()  # Keras's optimizers sum over replicas; the global loss is the mean of theirs.
        for name, optimizer in self.optimizers.items():
            if name in gradients:
                shares = gradients[name] if count == 1 else [gradient / count for gradient in gradients[name]]
                optimizer.apply(shares, self.variables_of(name))

    def variables_of(self, optimizer: str) -> list[keras.Variable]:
        """Return the variables that this optimizer updates, network by network."""
        return [v for network in self.optimizer_networks[optimizer] for v in self.networks[network].trainable_variables]

    def step_seed(self, step: tf.Tensor) -> tf.Tensor:
        """Return the seed, int32 [2], of everything random in training step `step` (int64 scalar)."""
        salt = tf.cast(tf.convert_to_tensor(self.rollbacks), tf.int32) * _ROLLBACK_SALT
        return tf.stack([tf.constant(self.config.seed, tf.int32) + salt, tf.cast(step, tf.int32)])

    def report(self, losses: dict[str, Any]) -> dict[str, tf.Tensor]:
        """Add one step's losses to the epoch's means and return those; NaN for a loss that no step has had yet."""
        for name, tracker in self.trackers.items():
            loss = losses[name]
            if isinstance(loss, Partial):
                tracker.update_state(loss.value, sample_weight=loss.present)
            else:
                tracker.update_state(loss)
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    @property
    def metrics(self):
        """What `fit` resets at the start of an epoch."""
        return list(self.trackers.values())

    def state(self) -> dict[str, tf.Variable]:
        """Return what resuming needs, by unique name: `encoder/e_mean/kernel`, `q/m/encoder/e_mean/kernel`, `step`.

        Layers and nested networks should have names: those that Keras makes up differ from one process to the next.
        """
        entries = [("step", self.step), ("rollbacks", self.rollbacks)]
        for name, tracker in self.trackers.items():
            entries += [(f"epoch_mean/{name}/total", tracker.total), (f"epoch_mean/{name}/count", tracker.count)]
        weights = [pair for name, network in self.networks.items() for pair in _named_weights(name, network)]
        names = {id(v): name for name, v in weights}
        entries += weights
        for name, optimizer in self.optimizers.items():
            entries += [(f"{name}/{part}", getattr(optimizer, part)) for part in TF1Adam.SCALARS]
            for v, first, second in zip(self.variables_of(name), optimizer.m, optimizer.v, strict=True):
                entries += [(f"{name}/m/{names[id(v)]}", first), (f"{name}/v/{names[id(v)]}", second)]
        state = {name: variable.value for name, variable in entries}
        if len(state) < len(entries):
            seen: set[str] = set()
            repeated = next(name for name, _ in entries if name in seen or seen.add(name))
            raise AssertionError(f"two variables of {self.name} are both called {repeated}")
        return state

    def sample_latents(self, step: tf.Tensor, batch_size: int) -> Latents:
        """Return the latents that training step `step` (int64 scalar) generates images from."""
        return self.sample_prior(batch_size, tf.random.fold_in(self.step_seed(step), _LATENTS))

    def sample_prior(self, batch_size: int, seed: tf.Tensor) -> Latents:
        """Return latents of `batch_size` images from the prior, as a function of `seed` (int32 [2])."""
        raise NotImplementedError

    def generate(self, latents: Latents) -> tf.Tensor:
        """Return images [B, h, w, c] of `latents`, in inference mode."""
        raise NotImplementedError

    def encode(self, images: tf.Tensor) -> Posterior:
        """q(u|x) of images [B, h, w, c], in inference mode."""
        raise NotImplementedError

    def encode_noise(self, images: tf.Tensor) -> NoisePosterior:
        """q(z|x) of images [B, h, w, c], in inference mode."""
        raise NotImplementedError

    def reconstruct(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Return images [B, h, w, c] decoded from the codes of `images`, as a function of `seed` (int32 [2])."""
        raise NotImplementedError

    def tf1_name(self, network: str, layer: keras.layers.Layer, variable: keras.Variable) -> str:
        """Return the name of a network's variable in the original's checkpoints: scope/layer/variable."""
        kernel, bias = ("Matrix", "bias") if isinstance(layer, keras.layers.Dense) else ("w", "biases")
        leaf = {"kernel": kernel, "bias": bias}.get(variable.name, variable.name)
        return f"{self.TF1_SCOPES[network]}/{layer.name}/{leaf}"


def _named_weights(prefix: str, network: keras.Model) -> list[tuple[str, keras.Variable]]:
    """Return the variables of a network, those of nested networks included, by path."""
    named = []
    for layer in network.layers:
        path = f"{prefix}/{layer.name}"
        nested = isinstance(layer, keras.Model)
        named += _named_weights(path, layer) if nested else [(f"{path}/{v.name}", v) for v in layer.variables]
    return named


class _EpochMean(keras.metrics.Mean):
    """A running mean of a value that is the same in all replicas; NaN before the first value.

    Keras's own sums over the replicas at each read, and adds by `total.assign(total + value)`: if the value is a sum
    itself, TensorFlow's graph optimizer adds the three terms in an order that differs from one trace to the next.
    """

    def add_variable(self, shape, initializer, dtype=None, aggregation=None, name=None):
        """Create a variable of the state."""
        return keras.Variable(initializer, shape, dtype, trainable=False, aggregation="only_first_replica", name=name)

    def update_state(self, values, sample_weight=1.0):
        """Add a scalar with its weight, in place."""
        weight = tf.convert_to_tensor(sample_weight, tf.float32)
        self.total.value.assign_add(tf.cast(values, tf.float32) * weight)
        self.count.value.assign_add(weight)

    def result(self):
        """Return the mean so far."""
        count = tf.convert_to_tensor(self.count)
        return tf.where(count > 0, tf.math.divide_no_nan(tf.convert_to_tensor(self.total), count), float("nan"))
