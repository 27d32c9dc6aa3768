"""Comparison of this port with recordings of the original TF1 code: one row per recorded number.

What a family of models computes is in its `Replay`; here are rows, verdicts and tables.
"""

import math
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from common.errors import UserError
from common.nn.layers import BatchNorm
from common.tf1.infovaegan import InfoVAEGANReplay
from common.tf1.mixture import MixtureReplay
from common.tf1.recording import Recording, projection
from common.tf1.replay import Replay, relative_error

FAMILIES: tuple[type[Replay], ...] = (InfoVAEGANReplay, MixtureReplay)
MARGIN = 2.0  # Other machines round differently: up to twice the tolerance passes, with a note.
# The gradient of an image's one to three biases is a sum over all pixels that nearly cancels. Its rounding is that of
# its layer, so errors are taken relative to the layer's gradient.
_FEW = 3
NORMALISED = "bias in front of a batch norm: its gradient is zero, and the recorded one is rounding"
AVERAGE = "moving average: the original updates it in no defined order and never reads it"


class Row(NamedTuple):
    """One line of the table; `error` is None if the comparison was skipped, for the reason `note`."""

    stage: str
    name: str
    error: float | None
    tolerance: float = 0.0
    note: str = ""

    @property
    def verdict(self) -> str:
        """One of pass, FAIL and skipped."""
        if self.error is None:
            return "skipped"
        return "pass" if self.error <= MARGIN * self.tolerance else "FAIL"  # NaN fails.

    @property
    def ratio(self) -> float:
        """The error as a multiple of its tolerance, 0 if there is none, infinite if the error is not a number."""
        if self.error is not None and not math.isfinite(self.error):
            return math.inf
        return self.error / self.tolerance if self.error is not None and self.tolerance else 0.0

    @property
    def remark(self) -> str:
        """The note, and whether the margin was needed."""
        return "; ".join(
            filter(None, [self.note, f"within the margin of {MARGIN:g}" if 1 < self.ratio <= MARGIN else ""])
        )


def open_replay(recording: Recording) -> Replay:
    """Return the system of a recording at its initial point. Raises UserError if no family has such recordings."""
    for family in FAMILIES:
        if family.FIELD in recording.fields:
            return family(recording)
    fields = " or ".join(family.FIELD for family in FAMILIES)
    raise UserError(f"{recording.path} is not a recording: it should have a field {fields}")


def compare(recording: Recording, iterations: int | None = None) -> list[Row]:
    """Replay a recording; one row per recorded number.

    With `iterations`, only so many training iterations, and without final images if that leaves some out.
    """
    replay = open_replay(recording)
    skipped = _not_comparable(replay)
    rows = _initial_rows(replay, skipped)
    count = len(recording.trace) if iterations is None else min(iterations, len(recording.trace))
    for index, recorded in enumerate(recording.trace[:count]):
        rows += _iteration_rows(replay, index, recorded, skipped)
    return rows + (_final_rows(replay) if count == len(recording.trace) else [])


def _not_comparable(replay: Replay) -> dict[str, str]:
    """TF1 name -> reason why the variable is left out."""
    reasons = {}
    for network in replay.system.networks.values():
        layers = [layer for layer in network.layers if layer.variables]
        for layer, following in zip(layers, [*layers[1:], None], strict=True):
            for v in layer.variables:
                if v.name.startswith("moving_"):
                    reasons[replay.names[id(v)]] = AVERAGE
                elif v.name == "bias" and isinstance(following, BatchNorm):
                    reasons[replay.names[id(v)]] = NORMALISED
    return reasons


def _initial_rows(replay: Replay, skipped: dict[str, str]) -> list[Row]:
    recording, point, rows = replay.recording, replay.initial(), []
    for name in recording.names("out/"):
        if name not in point.outputs:
            rows.append(Row("outputs", name, None, note="not a tensor of this system"))
            continue
        recorded = recording.array(f"out/{name}")
        computed = point.outputs[name].numpy()[: len(recorded)]
        error = relative_error(computed, recorded) if computed.shape == recorded.shape else np.inf
        rows.append(Row("outputs", name, error, _tolerance(replay.OUTPUTS, name)))
    for name, recorded in recording.losses.items():
        rows.append(_loss_row("losses", name, recorded, point.losses, _tolerance(replay.LOSSES, name)))
    for loss, recorded in recording.gradients.items():
        if loss in point.gradients:
            rows += _gradient_rows(replay, loss, recorded, point.gradients[loss], skipped)
        else:
            rows.append(Row(f"gradients of {loss}", "all", None, note="not a loss of this system"))
    return rows


def _tolerance(tolerances: Mapping[str, Any], name: str) -> Any:
    return tolerances.get(name, tolerances[""])


def _loss_row(stage: str, name: str, recorded: float, values: Mapping[str, tf.Tensor], tolerance: float) -> Row:
    if name not in values:
        return Row(stage, name, None, note="not a loss of this system")
    return Row(stage, name, abs(float(values[name]) - recorded) / max(abs(recorded), 1e-12), tolerance)


def _gradient_rows(replay: Replay, loss: str, recorded, computed, skipped) -> list[Row]:
    stage, rows = f"gradients of {loss}", []
    for name in [*recorded, *(name for name in computed if name not in recorded)]:
        value, reason = computed.get(name), skipped.get(name) or replay.left_out(loss, name)
        if name in recorded and reason:
            rows.append(Row(stage, name, None, note=reason))
        elif value is None and name in recorded:
            rows.append(Row(stage, name, np.inf, note="recorded, but this loss does not reach the variable here"))
        elif value is not None and name not in recorded:
            rows.append(Row(stage, name, np.inf, note="not recorded, but this loss reaches the variable here"))
        elif value is not None:
            norm, projected = replay.gradient_tolerances(loss, name)
            few, layer = value.numpy().size <= _FEW, name.rpartition("/")[0] + "/"
            norms = [one["norm"] for other, one in recorded.items() if other == name or few and other.startswith(layer)]
            tolerances = (norm, norm if few else projected)
            rows += _fingerprint_rows(
                stage, name, value.numpy(), recorded[name], scale=np.linalg.norm(norms), tolerances=tolerances
            )
    return rows


def _fingerprint_rows(stage, name, value, recorded, *, scale, tolerances) -> list[Row]:
    """Return the errors of norm and projection, relative to `scale`."""
    scale, norm = max(float(scale), 1e-12), float(np.linalg.norm(value.astype(np.float64)))
    return [
        Row(stage, f"{name} norm", abs(norm - recorded["norm"]) / scale, tolerances[0]),
        Row(stage, f"{name} projection", abs(projection(name, value) - recorded["projection"]) / scale, tolerances[1]),
    ]


def _iteration_rows(replay: Replay, index: int, recorded, skipped) -> list[Row]:
    """One training iteration: its losses and the variables after it."""
    stage = f"iteration {index}"
    if index >= len(replay.ITERATIONS):
        return [Row(stage, "all", None, note=f"no tolerance is known beyond {len(replay.ITERATIONS)} iterations")]
    losses, variables = replay.ITERATIONS[index]
    values = replay.step(index)
    rows = [_loss_row(stage, name, v, values, losses) for name, v in recorded.items() if name != "variables"]
    for name, wanted in recorded["variables"].items():
        reason = skipped.get(name) or (None if name in replay.variables else "not a variable of the networks")
        if reason:
            rows.append(Row(stage, name, None, note=reason))
        else:
            value = replay.variables[name].numpy()
            rows += _fingerprint_rows(
                stage, name, value, wanted, scale=wanted["norm"], tolerances=(variables, variables)
            )
    return rows


def _final_rows(replay: Replay) -> list[Row]:
    recording, stage, rows = replay.recording, "final images", []
    names = [name for name in recording.names("final/") if name not in replay.INPUTS]
    if not names or len(recording.trace) > len(replay.ITERATIONS):
        return [Row(stage, "all", None, note="not recorded" if not names else "later than the iterations compared")]
    outputs, losses, _ = replay.final()
    for name in names:
        recorded = recording.array(f"final/{name}")
        computed = outputs[name].numpy()[: len(recorded)] if name in outputs else None
        if computed is None or computed.shape != recorded.shape:
            rows.append(Row(stage, name, np.inf, note=f"recorded as {list(recorded.shape)}"))
        else:
            rows.append(Row(stage, name, replay.final_error(computed, recorded), replay.FINAL))
    return rows + [_loss_row(stage, name, v, losses, replay.FINAL_LOSSES) for name, v in recording.final_losses.items()]


def table(rows: list[Row]) -> str:
    """Return the rows as aligned text."""
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
    """One line per stage: how many rows passed, failed and were skipped, and the largest error."""
    lines = []
    for stage in dict.fromkeys(row.stage for row in rows):
        own = [row for row in rows if row.stage == stage]
        counts = " ".join(f"{sum(row.verdict == v for row in own):4} {v}" for v in ("pass", "FAIL", "skipped"))
        worst = max(own, key=lambda row: row.ratio)
        largest = f"   largest: {worst.error:.2e} of {worst.tolerance:.1e} ({worst.name})" if worst.ratio else ""
        lines.append(f"  {stage:24} {counts}{largest}")
    return "\n".join(lines)


def recordings_in(paths: list[pathlib.Path]) -> list[pathlib.Path]:
    """Return the .json files of recordings, those in folders included. Raises UserError for a folder without any."""
    files = []
    for path in paths:
        found = sorted(p for p in path.glob("*.json") if p.with_suffix(".npz").is_file()) if path.is_dir() else [path]
        if not found:
            raise UserError(f"no recording in {path}: a recording is a .json with a .npz next to it")
        files += found
    return files
