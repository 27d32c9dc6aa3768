"""The convolutions and matrix products of a traced step, counted from its graph, and each of them on its own."""

import collections
import math
from typing import NamedTuple

import tensorflow as tf

_ATTRIBUTES = {
    "Conv2D": ("strides", "padding"),
    "Conv2DBackpropInput": ("strides", "padding"),
    "Conv2DBackpropFilter": ("strides", "padding"),
    "MatMul": ("transpose_a", "transpose_b"),
}


class Operation(NamedTuple):
    """One convolution, gradient of a convolution or matrix product.

    Attributes:
        kind: TensorFlow's name of it.
        inputs: the shapes of its two operands: images and kernel of a convolution, kernel and output gradient of its gradient for the
            images, images and output gradient of that for the kernel.
        output: the shape of its result.
        dtype: the name of the type of all three.
        attributes: its other arguments, (name, value) each.
    """

    kind: str
    inputs: tuple[tuple[int, ...], tuple[int, ...]]
    output: tuple[int, ...]
    dtype: str
    attributes: tuple[tuple[str, object], ...]

    @property
    def flops(self) -> int:
        """Multiplications and additions. The taps that fall into the padding are counted too, as is usual."""
        first, second = self.inputs
        if self.kind == "Conv2D":
            return 2 * math.prod(self.output) * math.prod(second[:3])
        if self.kind == "Conv2DBackpropInput":
            return 2 * math.prod(second) * math.prod(first[:3])
        if self.kind == "Conv2DBackpropFilter":
            return 2 * math.prod(second) * math.prod(self.output[:3])
        return 2 * math.prod(self.output) * first[0 if dict(self.attributes)["transpose_a"] else 1]

    def alone(self, jit: bool = False, copies: int = 1):
        """(a function that does this to each of `copies` pairs of operands and nothing else, compiled by XLA where `jit`, the pairs: random numbers)."""
        operands = [
            tuple(
                tf.cast(tf.random.stateless_normal(shape, [i, copy]), self.dtype) for i, shape in enumerate(self.inputs)
            )
            for copy in range(copies)
        ]
        attributes, raw = dict(self.attributes), getattr(tf.raw_ops, self.kind)

        def one(first, second):
            if self.kind == "Conv2D":
                return raw(input=first, filter=second, **attributes)
            if self.kind == "Conv2DBackpropInput":
                return raw(input_sizes=self.output, filter=first, out_backprop=second, **attributes)
            if self.kind == "Conv2DBackpropFilter":
                return raw(input=first, filter_sizes=self.output, out_backprop=second, **attributes)
            return raw(a=first, b=second, **attributes)

        return tf.function(lambda *pairs: [one(*pair) for pair in pairs], jit_compile=jit).get_concrete_function(
            *operands
        ), operands


def operations(graph: tf.Graph) -> collections.Counter:
    """How often each `Operation` is run when the function of `graph` (a `ConcreteFunction.graph`) is called.

    Only what the function's results and side effects need is counted, since TensorFlow runs nothing else. Of a `tf.cond`, the branch
    of more arithmetic is: that of the dearest step.
    """
    found = collections.Counter()
    for op in _needed(graph):
        if op.type in _ATTRIBUTES:
            found[_operation(op)] += 1
        elif op.type in ("If", "StatelessIf"):
            branches = [operations(_function(op, name)) for name in ("then_branch", "else_branch")]
            found += max(branches, key=total_flops)
        elif op.type in ("PartitionedCall", "StatefulPartitionedCall"):
            found += operations(_function(op, "f"))
    return found


def total_flops(found: collections.Counter) -> int:
    """Of all the operations, each as often as it is run."""
    return sum(operation.flops * count for operation, count in found.items())


def _needed(graph: tf.Graph) -> list[tf.Operation]:
    """The operations that the results and side effects of a function depend on."""
    reached, waiting = set(), [*(tensor.op for tensor in graph.outputs), *graph.control_outputs]
    while waiting:
        op = waiting.pop()
        if op not in reached:
            reached.add(op)
            waiting += [*(tensor.op for tensor in op.inputs), *op.control_inputs]
    return list(reached)


def _function(op: tf.Operation, attribute: str) -> tf.Graph:
    return op.graph._get_function(op.get_attr(attribute).name).graph  # There is no public way to it.


def _operation(op: tf.Operation) -> Operation:
    # The middle operand of a convolution's gradients is a shape, and that is the output's.
    operands = {"Conv2DBackpropInput": (1, 2), "Conv2DBackpropFilter": (0, 2)}.get(op.type, (0, 1))
    attributes = tuple((name, _plain(op.get_attr(name))) for name in _ATTRIBUTES[op.type])
    return Operation(
        op.type,
        tuple(tuple(op.inputs[i].shape.as_list()) for i in operands),
        tuple(op.outputs[0].shape.as_list()),
        op.outputs[0].dtype.name,
        attributes,
    )


def _plain(value):
    if isinstance(value, bytes):
        return value.decode()
    return tuple(value) if isinstance(value, list) else value
