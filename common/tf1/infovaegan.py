"""Recordings of the original's InfoVAEGAN and InfoGAN scripts: configuration, inputs, passes and tolerances."""

from typing import Any

import numpy as np
import tensorflow as tf

from common.config import Config, LatentSpec
from common.models import registry
from common.models.adversarial import StepRandom
from common.models.infovaegan import CodeNoise
from common.models.system import System
from common.nn.distributions import Latents, Posterior, PosteriorNoise
from common.tf1.recording import BATCH_SEED, Recording
from common.tf1.replay import Point, Replay, recorded_config


def config_of(recording: Recording) -> Config:
    """Return the recorded configuration. What the .json does not name follows from its variables and losses."""
    fields = recording.fields
    infogan = not any("log_sigma" in name for name in recording.variables)  # Its encoder has no deviation.

    def describe() -> dict[str, Any]:
        hyper = {
            "learning_rate": fields["learning_rate"],
            "generator_multiplier": fields["multipliers"]["g"],
            "information_multiplier": fields["multipliers"]["q"],
            "first_batch_norm": any(name.endswith("/BatchNorm/beta") for name in recording.variables),
        }
        if not infogan:
            weight = 0.001 if "KL_y" in recording.losses else 0.0
            hyper.update(vae_multiplier=fields["multipliers"]["v"], categorical_kl_weight=weight)
        spec = registry.find("infogan" if infogan else "infovaegan", "code")
        return {
            "image_shape": tuple(recording.batch_shape[1:]),
            "scaling": "tanh",
            "latent": LatentSpec(*(recording.length(f) for f in ("noise_len", "discrete_len", "continous_len"))),
            "hyper": spec.hyperparameters(**hyper),
            "model": spec.model,
        }

    return recorded_config(recording, describe)


def batch(recording: Recording, index: int) -> tuple[tf.Tensor, Latents]:
    """Batch `index`: x [B, h, w, c] and latents, float32. 0: the initial point; iterations and final images follow."""
    shape, random = recording.batch_shape, np.random.RandomState(BATCH_SEED)
    noise_len, categories, continuous_len = (
        recording.length(f) for f in ("noise_len", "discrete_len", "continous_len")
    )
    for _ in range(index + 1):
        x = random.uniform(-1, 1, shape).astype(np.float32)
        category = np.eye(categories)[random.randint(0, categories, shape[0])]
        continuous = random.uniform(-1, 1, (shape[0], continuous_len))
        noise = random.uniform(-1, 1, (shape[0], noise_len))
    if shape[-1] == 1:
        x = np.asarray(x > 0, np.float32)
    return tf.constant(x), Latents(*(tf.constant(part, tf.float32) for part in (noise, category, continuous)))


def noise_of(recording: Recording, first: str, second: str | None = None) -> CodeNoise | None:
    """Return a step's posterior noise, None in InfoGAN: for u_r of the graph run `first`, the rest of `second`.

    Each run has five random tensors, in the order of the original's graph. Later ones belong to a test-time graph.
    """
    if not recording.names(f"{first}/"):
        return None
    size = recording.batch_shape[0]
    normal, uniform = (size, recording.length("continous_len")), (size, recording.length("discrete_len"))
    runs = (
        map(tf.constant, recording.arrays([f"{run}/{i}" for i in range(5)], [normal, uniform, normal, uniform, normal]))
        for run in (first, second or first)
    )
    (real_normal, real_uniform, *_), (_, _, normal, uniform, estimate) = runs
    return CodeNoise(PosteriorNoise(real_normal, real_uniform), PosteriorNoise(normal, uniform), estimate)


class InfoVAEGANReplay(Replay):
    """InfoVAEGAN and InfoGAN.

    Tolerances are how close another float32 implementation came (tests/recordings/README.md). Three are wider: losses
    and the logits of D, whose recorded values are up to 5.4e-6 and 7.6e-5 from float64 themselves, and the last
    iteration's losses: the last q_loss of infogan_dsprites is 1.1% to 6.1% off, depending on oneDNN's kernels and on
    threads. Those behind the relaxed codes are wider, since a temperature of 0.1 multiplies the rounding of logits by
    ten. ReLU kinks flip on rounding, which moves projections of gradients more than norms.
    """

    FIELD = "discrete_len"
    OUTPUTS = {"": 5e-5, "G": 3e-5, **dict.fromkeys(("z_fake", "z_fake2", "G_fake", "D_real_logits"), 3e-4)}
    LOSSES = {"": 5e-6, "vae_loss": 5e-5, "reconstruction_loss": 5e-5}
    GRADIENTS = {"": (2e-3, 2e-2)}
    ITERATIONS = ((3e-4, 3e-2), (1e-2, 1e-1), (4e-2, 1.5e-1))
    FINAL = 0.1  # The images look alike, no more.

    def build(self, recording: Recording) -> System:
        """Return the system of `config_of`."""
        config = config_of(recording)
        if config.model == "infogan":  # Its codes are not relaxed.
            self.OUTPUTS = {**self.OUTPUTS, "D_real_logits": self.OUTPUTS[""]}
        return registry.build(config)

    def initial(self) -> Point:
        """Both halves of an iteration, without updates."""
        system, (images, latents) = self.system, batch(self.recording, 0)
        random = StepRandom(latents, noise_of(self.recording, "noise"))

        @tf.function
        def passes():
            fake, vjp = system.generate_with_vjp(latents)
            d_values, d_gradients = system.discriminator_pass(images, fake, random)
            values, gradients = system.generator_pass(fake, vjp, random)
            return self._outputs(images, fake, random), {**d_values, **values}, {**d_gradients, **gradients}

        outputs, values, gradients = passes()
        by_name = {
            f"{optimizer}_loss": {
                self.names[id(v)]: g for v, g in zip(system.variables_of(optimizer), own, strict=True)
            }
            for optimizer, own in gradients.items()
        }
        return Point(outputs, _recorded_names(values), by_name)

    def _outputs(self, images: tf.Tensor, fake: tf.Tensor, random: StepRandom) -> dict[str, Any]:
        encoder, generator, discriminator = (self.system.networks[n] for n in ("encoder", "generator", "discriminator"))
        latents, noise, q_fake = random.latents, random.noise, Posterior(**encoder(fake, training=True))
        outputs = {"G": fake, "code_logit_fake": q_fake.logits}
        if noise is None:  # InfoGAN.
            return {
                **outputs,
                "continous_fake": q_fake.mean,
                "cont_code_est": q_fake.mean,
                "D_real_logits": discriminator(images, training=True),
                "D_fake_logits": discriminator(fake, training=True),
            }
        q_real = Posterior(**encoder(images, training=True))
        u_real, u_fake = q_real.sample(noise.real), q_fake.sample(noise.fake)
        return {
            **outputs,
            "code_logit_real": q_real.logits,
            "mean_real": q_real.mean,
            "std_real": q_real.stddev,
            "mean_fake": q_fake.mean,
            "std_fake": q_fake.stddev,
            "z_fake": u_real,
            "z_fake2": u_fake,
            "G_fake": generator([latents.noise, u_fake], training=True),
            "continous_fake": u_fake[:, self.system.config.latent.categories :],
            "cont_code_est": q_fake.sample_continuous(noise.estimate),
            "D_real_logits": discriminator([images, u_real], training=True),
            "D_fake_logits": discriminator([fake, latents.code], training=True),
        }

    def step(self, index: int):
        """One iteration; the original's two graph runs have noise of their own."""
        images, latents = batch(self.recording, 1 + index)
        noise = noise_of(self.recording, f"step{index}/d_noise", f"step{index}/gqv_noise")
        return _recorded_names(self.update(images, StepRandom(latents, noise)))

    def final(self) -> Point:
        """G(z, u) of the last batch, [B, h, w, c]."""
        _, latents = batch(self.recording, 1 + len(self.recording.trace))
        return Point({"G": self.system.generate(latents)}, {}, {})

    def final_error(self, computed: np.ndarray, recorded: np.ndarray) -> float:
        """1 - correlation."""
        return 1.0 - float(np.corrcoef(computed.ravel(), recorded.ravel())[0, 1])


def _recorded_names(values):
    names = {"KL_divergence1": "continuous_kl", "KL_y": "categorical_kl"}
    return {**values, **{name: values[ours] for name, ours in names.items() if ours in values}}
