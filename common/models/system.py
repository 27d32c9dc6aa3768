"""What all systems have in common: networks, optimizers, a step counter, and randomness as a function of (seed, step)."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from common.config import Config
from common.nn import replicas
from common.nn.distributions import Latents, NoisePosterior, Posterior, sample_noise, sample_prior
from common.nn.optimizers import TF1Adam

_STREAMS_APART = 0x5DEECE6D  # Odd, so no two streams of a seed are alike.


class System(keras.Model):
    """A set of networks with their optimizers, trained by `fit` on batches of images [B, h, w, c].

    An iteration has two halves, both on the same images x and the same x' = G(z, u): first the discriminator learns, then,
    against the new discriminator, everything else (REFERENCE.md section 4). Subclasses define the losses of each half,
    `discriminator_pass` and `generator_pass`; a system with another schedule redefines `iterate`. Where that leaves a loss out of
    some steps, it returns the loss as a vector, of one value or none: the epoch's mean is over the steps that have it, and
    a loss that no step of the epoch has is no entry of its log.

    Attributes:
        config: the `Config` it was built from.
        networks: name -> keras.Model; each is saved as `<name>.keras` when training ends.
        optimizers: name -> (TF1Adam, the networks whose variables it moves).
        step: int64 variable, the number of training steps taken.
        stream: int64 variable, which noise training draws: 0, or the number of times that a run was rolled back.
    """

    NOISE_PRIOR = "uniform"  # Of z: a name that `distributions.priors` knows.

    def __init__(
        self, config: Config, networks: dict[str, keras.Model], rates: dict[str, tuple[float, tuple[str, ...]]], losses
    ):
        """Args: `rates`: optimizer name -> (learning rate, names of the networks it moves); `losses`: names of the losses to report."""
        super().__init__(name=config.system)
        self.config = config
        self.networks = networks
        self.optimizers = {
            name: TF1Adam(_schedule(rate, config), config.adam_beta1, config.adam_beta2, config.adam_epsilon, name=name)
            for name, (rate, _) in rates.items()
        }
        self.moves = {name: moved for name, (_, moved) in rates.items()}
        for name, optimizer in self.optimizers.items():
            optimizer.build(self.variables_of(name))
        self.step = keras.Variable(0, dtype="int64", trainable=False, aggregation="only_first_replica", name="step")
        self.stream = keras.Variable(0, dtype="int64", trainable=False, aggregation="only_first_replica", name="stream")
        self.trackers = {name: _JointMean(name=name) for name in losses}
        self.built = True
        self.compile(optimizer=None, jit_compile=False)

    def train_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """One training step on `images` [B, h, w, c]; returns the epoch's mean losses so far.

        Of several replicas, each takes its share of the joint batch: of the images, B / replicas are given to it.
        """
        latents = self.sample_latents(self.step, self.config.batch_size)
        noise = self.sample_step_noise(self.step, self.config.batch_size)
        values = self.iterate(images, *replicas.per_replica_slice((latents, noise)))
        self.step.assign_add(1)
        return replicas.expand_scalars(
            self.report(replicas.all_reduce_mean({name: values[name] for name in self.trackers}))
        )

    def iterate(self, images: tf.Tensor, latents: Latents, noise) -> dict[str, tf.Tensor]:
        """One iteration on given latents and posterior noise; returns the losses by name."""
        fake, vjp = self.generate_with_vjp(latents)
        d_values, d_gradients = self.discriminator_pass(images, fake, latents, noise)
        self.apply_gradients(d_gradients)
        # From here on D is the new one. All gradients are taken before the first update, and the updates follow in the order
        # of `optimizers`; the original leaves both to its executor.
        values, gradients = self.generator_pass(fake, vjp, latents, noise)
        self.apply_gradients(gradients)
        return {**d_values, **values}

    def use_xla(self) -> None:
        """Has `iterate` compiled by XLA from now on. Latents and noise are drawn outside it: XLA's generators give other numbers."""
        self.iterate = tf.function(self.iterate, jit_compile=True, autograph=False)

    def discriminator_pass(self, images, fake, latents: Latents, noise):
        """The first half: (losses by name, gradients by optimizer)."""
        raise NotImplementedError

    def generator_pass(self, fake, vjp, latents: Latents, noise):
        """The second half: (losses by name, gradients by optimizer)."""
        raise NotImplementedError

    def generate_with_vjp(self, latents: Latents):
        """x' = G(z, u), and the function that pulls a gradient with respect to x' back to the generator's variables."""
        generator = self.networks["generator"]
        with tf.GradientTape(persistent=True) as tape:
            fake = generator([latents.noise, latents.code], training=True)

        def vjp(fake_gradient):
            return tape.gradient(fake, generator.trainable_variables, output_gradients=fake_gradient)

        return fake, vjp

    def apply_gradients(self, gradients: dict[str, list[tf.Tensor]]) -> None:
        """Lets each optimizer named in `gradients` take one step along them, one gradient for each of its `variables_of`."""
        count = (
            replicas.replicas()
        )  # Keras's optimizers add up what the replicas give; the joint loss is the mean of theirs.
        for name, optimizer in self.optimizers.items():
            if name in gradients:
                shares = gradients[name] if count == 1 else [gradient / count for gradient in gradients[name]]
                optimizer.apply(shares, self.variables_of(name))

    def variables_of(self, optimizer: str) -> list[keras.Variable]:
        """The variables that the optimizer of this name moves, network by network."""
        return [v for network in self.moves[optimizer] for v in self.networks[network].trainable_variables]

    def step_seed(self, step: tf.Tensor) -> tf.Tensor:
        """The seed, int32 [2], of everything random in training step `step` (int64 scalar); another in each noise `stream`."""
        stream = tf.cast(tf.convert_to_tensor(self.stream), tf.int32) * _STREAMS_APART
        return tf.stack([tf.constant(self.config.seed, tf.int32) + stream, tf.cast(step, tf.int32)])

    def sample_latents(self, step: tf.Tensor, batch_size: int) -> Latents:
        """The z and u that training step `step` gives the generator."""
        return sample_prior(
            self.config.latent, batch_size, tf.random.fold_in(self.step_seed(step), 0), self.NOISE_PRIOR
        )

    def sample_step_noise(self, step: tf.Tensor, batch_size: int):
        """The posterior noise of training step `step`; None in a system that takes none."""
        return None

    def split_code(self, code: tf.Tensor) -> list[tf.Tensor]:
        """u [B, K+C] -> d [B, K] and c [B, C]."""
        return tf.split(code, [self.config.latent.categories, self.config.latent.continuous], axis=-1)

    def report(self, losses: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Adds the losses of one step to the running means of the epoch and returns those."""
        for name, tracker in self.trackers.items():
            tracker.update_state(losses[name])
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    def fit(self, *args, callbacks=None, **kwargs):
        """`keras.Model.fit`, with no entry in the logs for a loss that has not occurred."""
        return super().fit(*args, callbacks=[_OnlyWhatOccurred(), *(callbacks or ())], **kwargs)

    @property
    def metrics(self):
        """What `fit` resets at the start of an epoch."""
        return list(self.trackers.values())

    @tf.function(reduce_retracing=True)
    def generate(self, noise: tf.Tensor, code: tf.Tensor) -> tf.Tensor:
        """G(z, u) in inference mode: [B, Z], [B, K+C] -> images [B, h, w, c]. By default with this batch's own statistics."""
        return self.networks["generator"]([noise, code], training=False)

    @tf.function(reduce_retracing=True)
    def encode(self, images: tf.Tensor) -> Posterior:
        """q(u|x) in inference mode for images [B, h, w, c]. By default with this batch's own statistics."""
        return Posterior(**self.networks["encoder"](images, training=False))

    def encode_noise(self, images: tf.Tensor) -> NoisePosterior | None:
        """q(z|x) in inference mode for images [B, h, w, c]; None in a system that infers no z."""
        return None

    @tf.function(reduce_retracing=True)
    def reconstruct(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """G(z, u ~ q(u|x)) for images [B, h, w, c], as a function of `seed` (int32 [2]) (REFERENCE.md section 7).

        z is drawn from q(z|x) where there is one, else it is arbitrary: from the prior. Both passes use this batch's own
        statistics by default, so the images should be mixed.
        """
        spec, size = self.config.latent, tf.shape(images)[0]
        seeds = tfp.random.split_seed(seed, 3)
        code = self.encode(images).sample(sample_noise(spec, size, seeds[0]))
        inferred = self.encode_noise(images)
        if inferred is None:
            noise = sample_prior(spec, size, seeds[1], self.NOISE_PRIOR).noise
        else:
            noise = inferred.sample(tf.random.stateless_normal(tf.shape(inferred.mean), seeds[2]))
        return self.generate(noise, code)


def _schedule(rate: float, config: Config):
    half_life, hold = config.learning_rate_half_life, config.learning_rate_hold
    return rate if half_life is None else _HeldDecay(rate, half_life, hold)


class _HeldDecay(keras.optimizers.schedules.ExponentialDecay):
    """A rate that is constant for `hold` updates, then halves in each `half_life` of them, smoothly."""

    def __init__(self, rate: float, half_life: int, hold: int):
        super().__init__(rate, half_life, 0.5)
        self._hold = hold

    def __call__(self, step):
        """The rate of update `step`, counted from 0."""
        return super().__call__(keras.ops.maximum(step - self._hold, 0))


class _JointMean(keras.metrics.Mean):
    """A running mean of what is the same in all replicas. Keras's own would add the replicas up each time that it is read."""

    def add_variable(self, shape, initializer, dtype=None, aggregation=None, name=None):
        """Creates a variable of the state."""
        return keras.Variable(initializer, shape, dtype, trainable=False, aggregation="only_first_replica", name=name)


class _OnlyWhatOccurred(keras.callbacks.Callback):
    """Takes out of the logs the means of losses that no step of the epoch has had yet; Keras would have them 0."""

    def on_epoch_begin(self, epoch, logs=None):
        self._awaited = set(self.model.trackers)

    def on_train_batch_end(self, batch, logs=None):
        self._remove_absent(logs)

    def on_epoch_end(self, epoch, logs=None):
        self._remove_absent(logs)

    def _remove_absent(self, logs):
        self._awaited = {name for name in self._awaited if not self.model.trackers[name].count.numpy()}
        for name in self._awaited:
            logs.pop(name, None)
