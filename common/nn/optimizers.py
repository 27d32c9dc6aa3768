"""Adam as TensorFlow 1 applies it, and a decay of its rate that may begin later."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="infovaegan")
class TF1Adam(keras.optimizers.Optimizer):
    """TF1's `AdamOptimizer` behind the Keras interface: one fused update per variable, the same arithmetic and state.

    lr_t = lr * sqrt(1 - beta2^t) / (1 - beta1^t);  p -= lr_t * m / (sqrt(v) + epsilon)  (docs/original.md, section 4).
    The powers of beta are variables, multiplied step by step as in TF1, so that its checkpoints convert bit for bit.
    """

    SCALARS = ("iterations", "beta1_power", "beta2_power")  # Its state next to the moments `m` and `v`.

    def __init__(self, learning_rate=2e-4, beta1=0.5, beta2=0.999, epsilon=1e-8, name="adam", **kwargs):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon

    def build(self, variables):
        """Create the state: `m` and `v` per variable, and the two powers, which TF1 starts at beta, not at 1."""
        if self.built:
            return
        super().build(variables)
        self.m, self.v = self.add_optimizer_variables(variables, ["m", "v"])
        self.beta1_power, self.beta2_power = (
            self.add_variable(
                (), keras.initializers.Constant(beta), aggregation="only_first_replica", name=f"{name}_power"
            )
            for name, beta in (("beta1", self.beta1), ("beta2", self.beta2))
        )

    def update_step(self, gradient, variable, learning_rate):
        """Move `variable` and its moments by `gradient`."""
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self.m[index]),
            v=_handle(self.v[index]),
            beta1_power=tf.convert_to_tensor(self.beta1_power),
            beta2_power=tf.convert_to_tensor(self.beta2_power),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta1,
            beta2=self.beta2,
            epsilon=self.epsilon,
            grad=gradient,
        )

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        # Keras first sums over replicas with a TensorFlow function that keeps the graph it is called in forever, and
        # a system's variables after the system is gone. One device has nothing to sum.
        if tf.distribute.has_strategy():
            super()._backend_update_step(grads, trainable_variables, learning_rate)
        else:
            for gradient, variable in zip(grads, trainable_variables, strict=True):
                self.update_step(gradient, variable, learning_rate)

    def apply(self, grads, trainable_variables=None):
        """Apply `grads` to `trainable_variables`, then multiply the powers by their betas."""
        super().apply(grads, trainable_variables)
        self.beta1_power.assign(self.beta1_power * self.beta1)
        self.beta2_power.assign(self.beta2_power * self.beta2)

    def get_config(self):
        """Return the optimizer's arguments."""
        return {**super().get_config(), "beta1": self.beta1, "beta2": self.beta2, "epsilon": self.epsilon}


class HeldDecay(keras.optimizers.schedules.ExponentialDecay):
    """A rate that is constant for `hold` updates, then halves every `half_life` updates, smoothly."""

    def __init__(self, rate: float, half_life: int, hold: int):
        super().__init__(rate, half_life, 0.5)
        self._hold = hold

    def __call__(self, step):
        """Return the rate of update `step`, counted from 0."""
        return super().__call__(keras.ops.maximum(step - self._hold, 0))


def _handle(variable):
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
