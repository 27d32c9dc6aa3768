"""Systems for tests of the models: built once, their state as arrays, what a step draws, and gradients compared."""

import numpy as np
import tensorflow as tf

from common.models import registry

NETWORKS = ("encoder", "generator", "discriminator")


def builder(make_config):
    """`build(**changes)`: the system of `make_config(**changes)`, built once for each set of changes and set back each time."""
    built = {}

    def build(**changes):
        config = make_config(**changes)
        key = repr(config)  # It has a dictionary among its fields, and so no hash.
        if key not in built:
            system = registry.build(config)
            built[key] = system, values(system)
        system, initial = built[key]
        assign(system, initial)
        return system

    return build


def values(system):
    """The whole state as arrays, by name."""
    return {name: v.numpy() for name, v in system.state().items()}


def assign(system, state):
    """Sets the whole state to `state`, as `values` gives it."""
    for name, variable in system.state().items():
        variable.assign(state[name])


def draws(system, step=5):
    """The latents and the posterior noise of a step."""
    step = tf.constant(step, tf.int64)
    return system.sample_latents(step, system.config.batch_size), system.sample_step_noise(
        step, system.config.batch_size
    )


def tried(system, images, latents, noise):
    """One iteration's losses and the state after it; the system is then set back to where it was."""
    start = values(system)
    losses = system.iterate(images, latents, noise)
    after = values(system)
    assign(system, start)
    return losses, after


def assert_close(gradients, wanted, tolerance=1e-4, *, least, negligible):
    """Each gradient within `tolerance` of the largest norm among those wanted, which is above `least`.

    Most of those wanted have a norm above `negligible` of the largest. Where none is wanted, since none reaches a variable, it is 0.
    """
    wanted = [np.zeros_like(g) if w is None else w for g, w in zip(gradients, wanted, strict=True)]
    scale = max(np.linalg.norm(w) for w in wanted)
    assert scale > least
    for g, w in zip(gradients, wanted, strict=True):
        assert np.linalg.norm(np.asarray(g) - np.asarray(w)) <= tolerance * scale, g.shape
    assert sum(np.linalg.norm(w) > negligible * scale for w in wanted) > len(wanted) / 2
