"""The convolutions and matrix products of a traced step, counted from its graph, and each of them in isolation."""

import collections
import math
from typing import NamedTuple

import tensorflow as tf


class _Kind(NamedTuple):
    """How to call an op: which inputs of its node are operands, their names, the name of a size, and its attributes."""

    operands: tuple[int, int]
    names: tuple[str, str]
    size: str | None
    attributes: tuple[str, ...]


_STRIDED = ("strides", "padding")
_KINDS = {
    "Conv2D": _Kind((0, 1), ("input", "filter"), None, _STRIDED),
    "Conv2DBackpropInput": _Kind((1, 2), ("filter", "out_backprop"), "input_sizes", _STRIDED),
    "Conv2DBackpropFilter": _Kind((0, 2), ("input", "out_backprop"), "filter_sizes", _STRIDED),
    "MatMul": _Kind((0, 1), ("a", "b"), None, ("transpose_a", "transpose_b")),
}


class Operation(NamedTuple):
    """One convolution, gradient of a convolution or matrix product.

    Attributes:
        kind: TensorFlow's name of it.
        inputs: the shapes of its two operands, in the order of `_KINDS`.
        output: the shape of its result.
        dtype: the name of the type of all three.
        attributes: its other arguments, as (name, value).
    """

    kind: str
    inputs: tuple[tuple, ...]
    output: tuple
    dtype: str
    attributes: tuple[tuple[str, object], ...]

    @property
    def flops(self) -> int:
        """Multiplications and additions, including those with padding, as is usual."""
        first, second = self.inputs
        if self.kind == "MatMul":
            return 2 * math.prod(self.output) * first[0 if dict(self.attributes)["transpose_a"] else 1]
        kernel, result = {
            "Conv2D": (second, self.output),
            "Conv2DBackpropInput": (first, second),
            "Conv2DBackpropFilter": (self.output, second),
        }[self.kind]
        return 2 * math.prod(result) * math.prod(kernel[:3])

    def alone(self, jit: bool = False, copies: int = 1):
        """(a function that applies this to each of `copies` pairs of operands, the pairs: random numbers)."""
        kind, raw = _KINDS[self.kind], getattr(tf.raw_ops, self.kind)
        fixed = {**dict(self.attributes), **({kind.size: self.output} if kind.size else {})}
        pairs = [
            tuple(tf.cast(tf.random.stateless_normal(s, (i, copy)), self.dtype) for i, s in enumerate(self.inputs))
            for copy in range(copies)
        ]

        def run(*pairs):
            return [raw(**dict(zip(kind.names, pair, strict=True)), **fixed) for pair in pairs]

        return tf.function(run, jit_compile=jit).get_concrete_function(*pairs), pairs


def operations(graph: tf.Graph) -> collections.Counter:
    """Return how often each `Operation` runs when the function of `graph` (a `ConcreteFunction.graph`) is called.

    Only what the function's results and side effects need is counted, since TensorFlow runs nothing else. Of a
    `tf.cond`, the branch with more arithmetic is counted: that of the most expensive step.
    """
    found = collections.Counter()
    for op in _needed(graph):
        if op.type in _KINDS:
            found[_operation(op)] += 1
        elif op.type in ("If", "StatelessIf"):
            branches = [operations(_function(op, name)) for name in ("then_branch", "else_branch")]
            found += max(branches, key=total_flops)
        elif op.type in ("PartitionedCall", "StatefulPartitionedCall"):
            found += operations(_function(op, "f"))
    return found


def total_flops(found: collections.Counter) -> int:
    """Return the number of multiplications and additions of all operations, each as often as it runs."""
    return sum(operation.flops * count for operation, count in found.items())


def _needed(graph: tf.Graph) -> set[tf.Operation]:
    """Return the operations that the results and side effects of a function depend on."""
    reached, waiting = set(), [*(tensor.op for tensor in graph.outputs), *graph.control_outputs]
    while waiting:
        op = waiting.pop()
        if op not in reached:
            reached.add(op)
            waiting += [*(tensor.op for tensor in op.inputs), *op.control_inputs]
    return reached


def _function(op: tf.Operation, attribute: str) -> tf.Graph:
    return op.graph._get_function(op.get_attr(attribute).name).graph  # There is no public way to it.


def _operation(op: tf.Operation) -> Operation:
    def plain(value):
        return value.decode() if isinstance(value, bytes) else tuple(value) if isinstance(value, list) else value

    kind, result = _KINDS[op.type], op.outputs[0]
    return Operation(
        op.type,
        tuple(tuple(op.inputs[i].shape.as_list()) for i in kind.operands),
        tuple(result.shape.as_list()),
        result.dtype.name,
        tuple((name, plain(op.get_attr(name))) for name in kind.attributes),
    )
