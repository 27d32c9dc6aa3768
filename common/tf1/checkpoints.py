"""TF1 checkpoints of the original: names of variables, reading and writing, bit-exactly."""

import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from common.config import Config
from common.errors import UserError, first_line
from common.fields import flag_of
from common.models import registry
from common.models.system import System
from common.training.checkpoint_index import literal_path, read_index
from common.training.checkpoints import DAMAGE

_SHOWN = 10  # Names of each kind in a message.
_ORIGINAL = {"width": 1.0, "rim_multiplier": 0.0}  # Hyper-parameters that change which variables there are.


def require_original(config: Config) -> None:
    """Raise UserError unless the original has the system of `config`, with the same variables."""
    registry.require(config, "a TF1 checkpoint", lambda spec: spec.tf1)
    for name, value in _ORIGINAL.items():
        given = getattr(config.hyper, name, value)
        if given != value:
            raise UserError(
                f"a TF1 checkpoint requires {flag_of(name)} {value:g}, as the original has it, got {given:g}"
            )


def network_variables(system: System) -> dict[str, keras.Variable]:
    """Return the variables of the system's networks by TF1 name, including moving averages."""
    return {
        system.tf1_name(network, layer, v): v
        for network, model in system.networks.items()
        for layer in model.layers
        for v in layer.variables
    }


def all_variables(system: System) -> dict[str, keras.Variable]:
    """Return everything in a checkpoint of the original, by TF1 name: networks, Adam's moments, Adam's powers of beta.

    TF1 numbers the moments of a variable in the order in which its optimizers were made, that of `system.optimizers`:
    m and v are `Adam` and `Adam_1` for the first, `Adam_2` and `Adam_3` for the second.
    """
    variables = network_variables(system)
    names = {id(v): name for name, v in variables.items()}
    slots: dict[str, keras.Variable] = {}
    for i, (optimizer, adam) in enumerate(system.optimizers.items()):
        suffix = f"_{i}" if i else ""
        slots[f"beta1_power{suffix}"], slots[f"beta2_power{suffix}"] = adam.beta1_power, adam.beta2_power
        for variable, m, v in zip(system.variables_of(optimizer), adam.m, adam.v, strict=True):
            prefix = names[id(variable)] + "/Adam"
            first, second = ("_2", "_3") if prefix in slots else ("", "_1")
            slots[prefix + first], slots[prefix + second] = m, v
    return {**variables, **slots}


def match(ours: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Pair the TF1 names in `shapes` with our variables, whose names are those of the original's 64-pixel scripts.

    If an original numbers its layers differently (at other sizes), layers of the same scope and kind are paired in the
    order of the numbers in their names. Raises UserError naming what is missing, unexpected or of another shape.
    """
    renamed = _renamed_layers(ours, shapes)
    own = {renamed.get(_layer(name), _layer(name)) + name[len(_layer(name)) :]: v for name, v in ours.items()}
    wrong = [
        f"{n} (is {list(shapes[n])}, should be {list(own[n].shape)})"
        for n in sorted(own.keys() & shapes.keys())
        if list(shapes[n]) != list(own[n].shape)
    ]
    kinds = {
        "missing": sorted(own.keys() - shapes.keys()),
        "unexpected": sorted(shapes.keys() - own.keys()),
        "of another shape": wrong,
    }
    problems = [
        f"{len(names)} {kind}: {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"
        for kind, names in kinds.items()
        if names
    ]
    if problems:
        raise UserError("; ".join(problems))
    return own


def _layer(name: str) -> str:
    """scope/layer of a TF1 name; the name itself if it has no such parts (beta1_power)."""
    return "/".join(name.split("/")[:2])


def _renamed_layers(ours, theirs) -> dict[str, str]:
    """Return our scope/layer -> theirs, for layers that only one side has, paired by scope, kind and natural order."""

    def layers(names):
        leaves: dict[str, set[str]] = {}
        for name in names:
            if name.count("/") == 2:
                leaves.setdefault(_layer(name), set()).add(name.rsplit("/", 1)[1])
        return leaves

    sides, groups = (layers(ours), layers(theirs)), {}
    for side, own in enumerate(sides):
        for layer in sorted(own.keys() - sides[1 - side].keys(), key=_natural):
            groups.setdefault((layer.split("/")[0], frozenset(own[layer])), ([], []))[side].append(layer)
    return {
        a: b for left, right in groups.values() if len(left) == len(right) for a, b in zip(left, right, strict=True)
    }


def _natural(name: str) -> list:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def load(system: System, prefix: str) -> None:
    """Set networks and optimizers of `system` to the original's checkpoint at `prefix`; it holds no `step`.

    Raises:
        UserError: the original has no such system, or the checkpoint cannot be read or does not fit. Nothing has
            changed then.
    """
    require_original(system.config)
    try:
        index = read_index(prefix)
    except OSError as error:
        reason = f"{error.strerror or error}: {error.filename}"
        raise UserError(f"{prefix} is not a readable TF1 checkpoint: {reason}") from None
    except ValueError as error:
        raise UserError(f"{prefix} is damaged: {first_line(error)}") from None
    try:
        variables = match(all_variables(system), {name: shape for name, (shape, _) in index.items()})
        for name, (_, dtype) in index.items():
            if dtype != tf.float32.as_datatype_enum:
                raise UserError(f"{name} is {tf.as_dtype(dtype).name}, should be float32")
    except UserError as error:
        raise UserError(f"{prefix} does not fit this configuration: {error}") from None
    try:
        with literal_path(prefix) as path:
            reader = tf.train.load_checkpoint(path)
            values = {name: reader.get_tensor(name) for name in variables}
    except DAMAGE as error:
        raise UserError(f"{prefix} is damaged: {first_line(error)}") from None
    for name, value in values.items():
        variables[name].assign(value)


def save(system: System, prefix: str) -> int:
    """Write networks and optimizers of `system` as a checkpoint that TF1's `Saver` reads.

    Returns:
        The number of variables.

    Raises:
        UserError: the original has no such system, or the files cannot be written.
    """
    require_original(system.config)
    variables = all_variables(system)
    try:
        pathlib.Path(prefix).parent.mkdir(parents=True, exist_ok=True)
        tf.raw_ops.SaveV2(
            prefix=prefix,
            tensor_names=list(variables),
            shape_and_slices=[""] * len(variables),
            tensors=[v.numpy() for v in variables.values()],
        )
    except DAMAGE as error:
        raise UserError(f"cannot write {prefix}: {first_line(error)}") from None
    return len(variables)
