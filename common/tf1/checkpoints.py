"""TF1 checkpoints of the original: names of variables, reading and writing, bit-exactly."""

import logging
import os
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
_FILE = re.compile(r"(.+)\.(?:index|meta|data-\d{5}-of-\d{5})", re.DOTALL)
_OPTIMIZER = re.compile(r".+/Adam(_\d+)?|beta[12]_power(_\d+)?")  # Names of what optimizers keep.
_OWN = "_CHECKPOINTABLE_OBJECT_GRAPH"  # Only in a checkpoint of TensorFlow 2.
_ORIGINAL = {"width": 1.0, "rim_multiplier": 0.0}  # Hyper-parameters that change which variables there are.

logger = logging.getLogger(__name__)


def require_original(config: Config) -> None:
    """Raise UserError unless the original has the system of `config`, with the same variables."""
    registry.require(config, "a TF1 checkpoint", lambda spec: spec.tf1)
    if not config.latent.categories:
        raise UserError("a TF1 checkpoint requires --categories")
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


def match(ours: Mapping[str, Any], shapes: Mapping[str, Sequence[int]], exact: bool = True) -> dict[str, Any]:
    """Pair the TF1 names in `shapes` with our variables, whose names are those of the original's 64-pixel scripts.

    If an original numbers its layers differently (at other sizes), layers of the same scope and kind are paired in the
    order of the numbers in their names. Raises UserError naming what is missing, of another shape or, if the match must
    be exact, unexpected.
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
        "unexpected": sorted(shapes.keys() - own.keys()) if exact else [],
        "of another shape": wrong,
    }
    problems = [f"{len(names)} {kind}: {_first(names)}" for kind, names in kinds.items() if names]
    if problems:
        raise UserError("; ".join(problems))
    return own


def _first(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


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


def find(path: pathlib.Path | str) -> str:
    """Return the prefix of the checkpoint that `path` means: its prefix, one of its files, or its folder.

    Of several in a folder it is the one that the folder's file `checkpoint` names. Raises UserError if a folder has
    none, or several and nothing says which.
    """
    text, file = os.fspath(path), _FILE.fullmatch(os.fspath(path))
    if os.path.isfile(f"{text}.index"):
        return text
    if os.path.basename(text) == "checkpoint" and os.path.isfile(text):
        return _in_folder(os.path.dirname(text) or os.curdir)
    if os.path.isdir(text):
        return _in_folder(text)
    return file[1] if file else text


def _in_folder(folder: str) -> str:
    try:
        names = sorted(name.removesuffix(".index") for name in os.listdir(folder) if name.endswith(".index"))
        state = tf.train.get_checkpoint_state(folder)
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror or error}") from None
    except DAMAGE:
        state = None
    named = os.path.basename(state.model_checkpoint_path) if state else None  # The folder may have been moved.
    if not names:
        raise UserError(
            f"{folder} contains no TF1 checkpoint: it should contain NAME.index and NAME.data-00000-of-00001"
        )
    if len(names) > 1 and named not in names:
        raise UserError(f"{folder} contains {len(names)} checkpoints, name one of them: {_first(names)}")
    return os.path.join(folder, named if named in names else names[0])


def load(system: System, path: pathlib.Path | str) -> None:
    """Set `system` to a checkpoint of the original; it holds no `step`.

    A system with optimizers takes networks and optimizers, and the checkpoint must hold exactly these. One without
    takes only the networks; what else the checkpoint holds is logged, except for the state of optimizers.

    Args:
        system: the system.
        path: as for `find`.

    Raises:
        UserError: the original has no such system, or the checkpoint cannot be read or does not fit. Nothing has
            changed then.
    """
    require_original(system.config)
    prefix = find(path)
    try:
        index = read_index(prefix)
    except OSError as error:
        reason = f"{error.strerror or error}: {error.filename}"
        raise UserError(f"{prefix} is not a readable TF1 checkpoint: {reason}") from None
    except ValueError as error:
        raise UserError(f"{prefix} is damaged: {first_line(error)}") from None
    if _OWN in index:
        raise UserError(f"{prefix} is not a checkpoint of the original but of this project: use --checkpoint")
    shapes = {name: shape for name, (shape, _) in index.items()}
    try:
        variables = match(all_variables(system), shapes, exact=bool(system.optimizers))
        for name in variables:
            if index[name][1] != tf.float32.as_datatype_enum:
                raise UserError(f"{name} is {tf.as_dtype(index[name][1]).name}, should be float32")
    except UserError as error:
        enough = ": sample, evaluate and figures work with it, they need only the networks"
        remedy = enough if system.optimizers and _has_networks(system, shapes) else ""
        raise UserError(f"{prefix} does not fit this configuration: {error}{remedy}") from None
    try:
        with literal_path(prefix) as path:
            reader = tf.train.load_checkpoint(path)
            values = {name: reader.get_tensor(name) for name in variables}
    except DAMAGE as error:
        raise UserError(f"{prefix} is damaged: {first_line(error)}") from None
    for name, value in values.items():
        variables[name].assign(value)
    unused = sorted(name for name in shapes.keys() - variables.keys() if not _OPTIMIZER.fullmatch(name))
    if unused:
        logger.info("%s: %d variables are not used: %s", prefix, len(unused), _first(unused))


def _has_networks(system: System, shapes: Mapping[str, Sequence[int]]) -> bool:
    try:
        return bool(match(network_variables(system), shapes, exact=False))
    except UserError:
        return False


def save(system: System, prefix: pathlib.Path | str) -> int:
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
            prefix=str(prefix),
            tensor_names=list(variables),
            shape_and_slices=[""] * len(variables),
            tensors=[v.numpy() for v in variables.values()],
        )
    except DAMAGE as error:
        raise UserError(f"cannot write {prefix}: {first_line(error)}") from None
    return len(variables)
