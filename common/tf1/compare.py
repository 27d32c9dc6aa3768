"""Holds this port against recordings of the original under TF1: `python -m common.tf1 compare RECORDING.json [...]` (or folders).

A recording is a .json with a .npz beside it. Everything about the configuration is read from its fields and variable names; its
weights and batches follow from seeds, its noise is replayed. Exit code 1 if anything fails, 2 if a recording cannot be read.
"""

import argparse
import pathlib
import sys
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from common.errors import UserError
from common.models import registry
from common.models.adversarial import StepRandom
from common.models.infovaegan import CodeNoise
from common.nn.distributions import Posterior, PosteriorNoise
from common.nn.layers import BatchNorm
from common.tf1 import checkpoints as tf1_checkpoints
from common.tf1.recording import Recording, projection

# How close another float32 implementation came to the recordings (their README): the largest errors of one pair on one machine,
# relative to the recorded loss or norm, or for tensors to max(1, largest value). Two figures are wider than there, where losses
# and all but vae_loss are 1e-6: the recordings are rounded themselves, and float64 is up to 5.4e-6 (g_loss of dsprites) and 7.6e-5
# (its D_fake_logits) from them, no closer than this port. TF1 sums the squares of a batch norm one by one in float32 and so
# loses 7e-5 of a variance over 262,144 values; TF2 does not.
LOSS, VAE_LOSS = 5e-6, 5e-5
IMAGES, OUTPUT = 3e-5, 5e-5
RELAXED_OUTPUT = (
    3e-4  # What depends on the relaxed codes: a temperature of 0.1 multiplies the rounding of logits by ten.
)
GRADIENT_NORM, GRADIENT_PROJECTION = 2e-3, 2e-2
# The gradient of an image's one to three biases is a sum over all pixels that nearly cancels: its rounding is that of its layer, and
# so its errors are taken relative to the layer's gradient.
FEW = 3
# The third is wider than there: under oneDNN's kernels for SSE 4.1, AVX2 and AVX-512, and with one thread in the place of two, the last
# q_loss of infogan_dsprites is 1.1%, 2.3%, 6.1% and 3.2% from the recorded one.
TRACE_LOSS = (3e-4, 1e-2, 4e-2)
TRACE_VARIABLE = (3e-2, 1e-1, 1.5e-1)
FINAL_CORRELATION = 0.1  # 1 - correlation: the last images look alike, no more.
MARGIN = 2.0  # Another machine rounds otherwise: up to twice those errors pass, with a note.

_LOSSES = {"KL_divergence1": "continuous_kl", "KL_y": "categorical_kl"}  # The recordings' names for ours.
_NORMALISED = "bias in front of a batch norm: its gradient is zero, what was recorded is rounding"
_AVERAGE = "moving average: the original updates it in no defined order, and never reads it"


class Row(NamedTuple):
    """One line of the table; `error` is None where the comparison was skipped, for the reason `note`."""

    stage: str
    name: str
    error: float | None
    tolerance: float | None
    note: str = ""

    @property
    def verdict(self) -> str:
        """pass, FAIL or skipped."""
        if self.error is None:
            return "skipped"
        return "pass" if self.error <= MARGIN * self.tolerance else "FAIL"  # NaN fails.

    @property
    def remark(self) -> str:
        """The note, and whether the margin was needed."""
        margin = self.verdict == "pass" and self.error > self.tolerance
        return "; ".join(filter(None, [self.note, "within the margin of 2" if margin else ""]))


def compare(recording: Recording) -> list[Row]:
    """Builds the recorded configuration, replays it, and returns one row for everything that was recorded."""
    system = registry.build(recording.config())
    variables = tf1_checkpoints.match(tf1_checkpoints.network_variables(system), recording.variables)
    for name, variable in variables.items():
        variable.assign(recording.initial_value(name))
    names = {id(v): name for name, v in variables.items()}
    skipped = _not_comparable(system, names)
    rows = _initial_point(system, recording, names, skipped)
    rows += _trace(system, recording, variables, skipped)
    return rows + _final(system, recording)


def _not_comparable(system, names) -> dict[str, str]:
    """Why some variables are left out, by TF1 name."""
    reasons = {}
    for network in system.networks.values():
        layers = [layer for layer in network.layers if layer.variables]
        for layer, following in zip(layers, [*layers[1:], None]):
            for v in layer.variables:
                if v.name.startswith("moving_"):
                    reasons[names[id(v)]] = _AVERAGE
                elif v.name == "bias" and isinstance(following, BatchNorm):
                    reasons[names[id(v)]] = _NORMALISED
    return reasons


def _noise(tensors: list[np.ndarray] | None, second: list[np.ndarray] | None = None) -> CodeNoise | None:
    """The noise of a step, in the order of the original's graph: real, then fake and estimate, which may come from a second run."""
    if not tensors:
        return None
    second = second or tensors
    return CodeNoise(PosteriorNoise(tensors[0], tensors[1]), PosteriorNoise(second[2], second[3]), second[4])


def _initial_point(system, recording: Recording, names, skipped) -> list[Row]:
    images, latents = recording.batch(0)
    noise = _noise(recording.noise("noise"))
    random = StepRandom(latents, noise)

    @tf.function
    def passes():
        fake, vjp = system.generate_with_vjp(latents)
        d_values, d_gradients = system.discriminator_pass(images, fake, random)
        values, gradients = system.generator_pass(fake, vjp, random)
        return _outputs(system, images, fake, latents, noise), {**d_values, **values}, {**d_gradients, **gradients}

    outputs, values, gradients = passes()
    rows = []
    for name in recording.outputs():
        wanted = recording.array(f"out/{name}")
        if name not in outputs:
            rows.append(Row("outputs", name, None, None, "not a tensor of this system"))
            continue
        got = outputs[name].numpy()[: len(wanted)]
        error = np.abs(got - wanted).max() / max(1.0, np.abs(wanted).max()) if got.shape == wanted.shape else np.inf
        relaxed = name in ("z_fake", "z_fake2", "G_fake", "D_real_logits") and noise is not None
        rows.append(
            Row("outputs", name, float(error), RELAXED_OUTPUT if relaxed else IMAGES if name == "G" else OUTPUT)
        )
    for name, wanted in recording.losses.items():
        rows.append(
            _loss_row("losses", name, wanted, values, VAE_LOSS if name in ("vae_loss", "reconstruction_loss") else LOSS)
        )
    for loss, recorded in recording.gradients.items():
        optimizer = loss.removesuffix("_loss")
        if optimizer not in gradients:
            rows.append(Row(f"gradients of {loss}", "all", None, None, "not a loss of this system"))
            continue
        computed = {names[id(v)]: g for v, g in zip(system.variables_of(optimizer), gradients[optimizer], strict=True)}
        rows += _gradient_rows(loss, recorded, computed, skipped)
    return rows


def _outputs(system, images, fake, latents, noise) -> dict[str, tf.Tensor]:
    """The recorded tensors under their recorded names."""
    encoder, generator, discriminator = (system.networks[n] for n in ("encoder", "generator", "discriminator"))
    q_fake = Posterior(**encoder(fake, training=True))
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
        "continous_fake": u_fake[:, system.config.latent.categories :],
        "cont_code_est": q_fake.sample_continuous(noise.estimate),
        "D_real_logits": discriminator([images, u_real], training=True),
        "D_fake_logits": discriminator([fake, latents.code], training=True),
    }


def _loss_row(stage: str, name: str, wanted: float, values, tolerance: float) -> Row:
    ours = _LOSSES.get(name, name)
    if ours not in values:
        return Row(stage, name, None, None, "not a loss of this system")
    return Row(stage, name, abs(float(values[ours]) - wanted) / max(abs(wanted), 1e-12), tolerance)


def _gradient_rows(loss: str, recorded, computed, skipped) -> list[Row]:
    stage, rows = f"gradients of {loss}", []
    for name, wanted in recorded.items():
        if name in skipped:
            rows.append(Row(stage, name, None, None, skipped[name]))
        elif computed.get(name) is None:
            rows.append(Row(stage, name, np.inf, 0.0, "recorded, but this loss does not reach the variable here"))
        else:
            rows += _gradient_row(stage, name, computed[name].numpy(), recorded)
    rows += [
        Row(stage, name, np.inf, 0.0, "not recorded, but this loss reaches the variable here")
        for name, gradient in computed.items()
        if gradient is not None and name not in recorded
    ]
    return rows


def _gradient_row(stage, name, value, recorded) -> list[Row]:
    if value.size > FEW:
        return _norm_and_projection(
            stage, name, value, recorded[name], recorded[name]["norm"], GRADIENT_NORM, GRADIENT_PROJECTION
        )
    layer = name.rpartition("/")[0] + "/"
    scale = float(np.linalg.norm([wanted["norm"] for other, wanted in recorded.items() if other.startswith(layer)]))
    return _norm_and_projection(stage, name, value, recorded[name], scale, GRADIENT_NORM, GRADIENT_NORM)


def _norm_and_projection(stage, name, value, wanted, scale, norm_tolerance, projection_tolerance) -> list[Row]:
    scale = max(scale, 1e-12)
    norm = np.linalg.norm(value.astype(np.float64))
    return [
        Row(stage, f"{name} norm", abs(norm - wanted["norm"]) / scale, norm_tolerance),
        Row(
            stage,
            f"{name} projection",
            abs(projection(name, value) - wanted["projection"]) / scale,
            projection_tolerance,
        ),
    ]


def _trace(system, recording: Recording, variables, skipped) -> list[Row]:
    """The training iterations, each after the one before it: losses and, after the updates, variables."""
    update = tf.function(system.update)
    rows = []
    for step, recorded in enumerate(recording.trace):
        stage = f"iteration {step}"
        if step >= len(TRACE_LOSS):
            rows.append(Row(stage, "all", None, None, "no tolerance is known beyond three iterations"))
            continue
        images, latents = recording.batch(1 + step)
        noise = _noise(recording.noise(f"step{step}/d_noise"), recording.noise(f"step{step}/gqv_noise"))
        values = update(images, StepRandom(latents, noise))
        for name, wanted in recorded.items():
            if name != "variables":
                rows.append(_loss_row(stage, name, wanted, values, TRACE_LOSS[step]))
        for name, wanted in recorded["variables"].items():
            if name in skipped:
                rows.append(Row(stage, name, None, None, skipped[name]))
            elif name not in variables:
                rows.append(Row(stage, name, None, None, "not a variable of the networks"))
            else:
                tolerance = TRACE_VARIABLE[step]
                rows += _norm_and_projection(
                    stage, name, variables[name].numpy(), wanted, wanted["norm"], tolerance, tolerance
                )
    return rows


def _final(system, recording: Recording) -> list[Row]:
    if "final/G" not in recording.files:
        return [Row("final images", "G", None, None, "not recorded")]
    _, latents = recording.batch(1 + len(recording.trace))
    wanted = recording.array("final/G")
    if len(recording.trace) > len(TRACE_LOSS):
        return [Row("final images", "G", None, None, "later than the iterations compared")]
    got = system.networks["generator"]([latents.noise, latents.code], training=False).numpy()[: len(wanted)]
    if got.shape != wanted.shape:
        return [Row("final images", "G", np.inf, 0.0, f"recorded as {list(wanted.shape)}")]
    return [
        Row(
            "final images",
            "G (1 - correlation)",
            1.0 - float(np.corrcoef(got.ravel(), wanted.ravel())[0, 1]),
            FINAL_CORRELATION,
        )
    ]


def table(rows: list[Row]) -> str:
    """The rows as aligned text."""
    width = max(len(row.name) for row in rows)
    lines, stage = [], None
    for row in rows:
        if row.stage != stage:
            stage = row.stage
            lines.append(f"{stage}:")
        numbers = f"{row.error:9.2e} <= {row.tolerance:.1e}" if row.error is not None else f"{'':20}"
        lines.append(f"  {row.name:{width}}  {numbers}  {row.verdict}{'  (' + row.remark + ')' if row.remark else ''}")
    return "\n".join(lines)


def summary(rows: list[Row]) -> str:
    """One line a stage: how many passed, failed and were skipped, and the largest error as a share of its tolerance."""
    lines = []
    for stage in dict.fromkeys(row.stage for row in rows):
        own = [row for row in rows if row.stage == stage]
        counts = {verdict: sum(row.verdict == verdict for row in own) for verdict in ("pass", "FAIL", "skipped")}
        measured = [row for row in own if row.tolerance]
        worst = max(measured, key=lambda row: row.error / row.tolerance, default=None)
        lines.append(
            f"  {stage:24} {counts['pass']:4} pass {counts['FAIL']:4} FAIL {counts['skipped']:4} skipped"
            + (f"   largest: {worst.error:.2e} of {worst.tolerance:.1e} ({worst.name})" if worst else "")
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    p = argparse.ArgumentParser(prog="python -m common.tf1 compare", description=__doc__.splitlines()[0])
    p.add_argument(
        "recordings", nargs="+", type=pathlib.Path, metavar="RECORDING", help="a recording's .json, or a folder of them"
    )
    p.add_argument("--summary", action="store_true", help="one line a stage in place of the whole table")
    arguments = p.parse_args(argv)
    failed = False
    try:
        for path in _paths(arguments.recordings):
            rows = compare(Recording(path))
            wrong = sum(row.verdict == "FAIL" for row in rows)
            failed |= wrong > 0
            print(f"{path}: {'FAIL' if wrong else 'pass'}")
            print(summary(rows) if arguments.summary else table(rows) + "\n" + summary(rows), flush=True)
            keras.backend.clear_session()
    except UserError as error:
        print(f"{p.prog}: error: {error}", file=sys.stderr)
        return 2
    return 1 if failed else 0


def _paths(arguments: list[pathlib.Path]) -> list[pathlib.Path]:
    paths = []
    for argument in arguments:
        found = (
            sorted(p for p in argument.glob("*.json") if p.with_suffix(".npz").is_file())
            if argument.is_dir()
            else [argument]
        )
        if not found:
            raise UserError(f"no recording in {argument}: a recording is a .json with a .npz beside it")
        paths += found
    return paths


if __name__ == "__main__":
    sys.exit(main())
