"""TF1 checkpoints of the original, in and out, bit for bit.

`python -m common.tf1 export CHECKPOINT OUT_PREFIX` writes a checkpoint of this project as one that TF1's `Saver` reads.
"""

import argparse
import pathlib
import re
import sys

import keras
import tensorflow as tf

from common.errors import UserError, first_line
from common.runs import open_run
from common.training.checkpoint_index import literal_path, read_index
from common.training.checkpoints import DAMAGE

_SHOWN = 10  # Names of each kind in a message.


def _leaf(layer: keras.layers.Layer, variable: keras.Variable) -> str:
    """The last part of a variable's TF1 name."""
    dense = isinstance(layer, keras.layers.Dense)
    return {"kernel": "Matrix" if dense else "w", "bias": "bias" if dense else "biases"}.get(
        variable.name, variable.name
    )


def network_variables(system) -> dict[str, keras.Variable]:
    """The variables of the system's networks by their TF1 names, moving averages included."""
    return {
        f"{system.tf1_scope(network)}/{layer.name}/{_leaf(layer, v)}": v
        for network, model in system.networks.items()
        for layer in model.layers
        for v in layer.variables
    }


def all_variables(system) -> dict[str, keras.Variable]:
    """Everything that the original's checkpoint holds, by TF1 name: networks, Adam's moments, Adam's powers.

    TF1 names the slots of a variable in the order in which its optimizers were made, D, G, Q, VAE: m and v of the first are
    `Adam` and `Adam_1`, of the second `Adam_2` and `Adam_3`.
    """
    variables = network_variables(system)
    names = {id(v): name for name, v in variables.items()}
    slots = {}
    for i, (name, optimizer) in enumerate(system.optimizers.items()):
        suffix = f"_{i}" if i else ""
        slots[f"beta1_power{suffix}"], slots[f"beta2_power{suffix}"] = optimizer.beta1_power, optimizer.beta2_power
        for variable, m, v in zip(system.variables_of(name), optimizer.m, optimizer.v, strict=True):
            first = names[id(variable)] + "/Adam"
            taken = sum(f"{first}{s}" in slots for s in ("", "_2"))
            slots[f"{first}_2" if taken else first], slots[f"{first}_3" if taken else f"{first}_1"] = m, v
    return {**variables, **slots}


def match(wanted: dict[str, keras.Variable], shapes: dict[str, list[int]]) -> dict[str, keras.Variable]:
    """Pairs the TF1 names in `shapes` with the variables of `wanted`, which are under the names of the original's 64-pixel scripts.

    Where an original counts its layers otherwise (at other sizes), layers of the same scope and kind are paired in the order
    of the numbers in their names. Raises UserError naming what is missing, unexpected or of another shape.
    """
    renamed = _renamed_layers(wanted, shapes)
    own = {renamed.get(_layer(name), _layer(name)) + name[len(_layer(name)) :]: v for name, v in wanted.items()}
    missing, unexpected = sorted(own.keys() - shapes.keys()), sorted(shapes.keys() - own.keys())
    wrong = [
        f"{n} (is {list(shapes[n])}, should be {list(own[n].shape)})"
        for n in sorted(own.keys() & shapes.keys())
        if list(shapes[n]) != list(own[n].shape)
    ]
    problems = [
        f"{len(names)} {what}: {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", wrong))
        if names
    ]
    if problems:
        raise UserError("; ".join(problems))
    return own


def _layer(name: str) -> str:
    """scope/layer of a TF1 name; the name itself where it has no such parts (beta1_power)."""
    return "/".join(name.split("/")[:2])


def _renamed_layers(wanted, shapes) -> dict[str, str]:
    """Our scope/layer -> the recording's, for layers that one side alone has, paired by scope, kind and natural order."""

    def kinds(names):
        layers = {}
        for name in names:
            if name.count("/") == 2:
                layers.setdefault(_layer(name), set()).add(name.rsplit("/", 1)[1])
        return layers

    ours, theirs = kinds(wanted), kinds(shapes)
    groups = {}
    for side, layers, others in ((0, ours, theirs), (1, theirs, ours)):
        for layer in sorted(layers.keys() - others.keys(), key=_natural):
            groups.setdefault((layer.split("/")[0], frozenset(layers[layer])), ([], []))[side].append(layer)
    return {a: b for left, right in groups.values() if len(left) == len(right) for a, b in zip(left, right)}


def _natural(name: str) -> list:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def load(system, prefix: str) -> None:
    """Sets networks and optimizers of `system` to the original's checkpoint at `prefix`; `step` starts at 0, since TF1 kept none.

    Raises UserError where the original has no such system, or the checkpoint cannot be read or does not fit: then nothing has been changed.
    """
    try:
        index = read_index(prefix)
    except OSError as error:
        raise UserError(
            f"{prefix} is no readable TF1 checkpoint: {error.strerror or error}: {error.filename}"
        ) from None
    except ValueError as error:
        raise UserError(f"{prefix} is damaged: {first_line(error)}") from None
    try:
        variables = match(all_variables(system), {name: shape for name, (shape, _) in index.items()})
    except UserError as error:
        raise UserError(f"{prefix} does not fit this configuration: {error}") from None
    for name, (_, dtype) in index.items():
        if dtype != tf.float32.as_datatype_enum:
            raise UserError(
                f"{prefix} does not fit this configuration: {name} is {tf.as_dtype(dtype).name}, should be float32"
            )
    try:
        with literal_path(prefix) as path:
            reader = tf.train.load_checkpoint(path)
            values = {name: reader.get_tensor(name) for name in variables}
    except DAMAGE as error:
        raise UserError(f"{prefix} is damaged: {first_line(error)}") from None
    for name, value in values.items():
        variables[name].assign(value)


def save(system, prefix: str) -> None:
    """Writes networks and optimizers of `system` under the original's names, as a checkpoint that TF1's `Saver` reads. Raises UserError."""
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


def export(checkpoint: pathlib.Path, prefix: str) -> int:
    """Writes `checkpoint`, one of this project's or a folder of them, to `prefix`; returns the number of variables."""
    system, _ = open_run(checkpoint, training=True)
    save(system, prefix)
    return len(all_variables(system))


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    p = argparse.ArgumentParser(prog="python -m common.tf1", description="Checkpoints for the original TF1 code.")
    export_parser = p.add_subparsers(required=True, metavar="export").add_parser(
        "export", help="write a checkpoint that TF1's Saver reads"
    )
    export_parser.add_argument(
        "checkpoint", type=pathlib.Path, help="models/<script>/<name>-<step>, or the folder, for its newest"
    )
    export_parser.add_argument("out_prefix", help="path of the TF1 checkpoint to write, without ending")
    arguments = p.parse_args(argv)
    try:
        count = export(arguments.checkpoint, arguments.out_prefix)
    except UserError as error:
        print(f"{p.prog}: error: {error}", file=sys.stderr)
        return 2
    print(f"Wrote {count} variables to {arguments.out_prefix}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
