"""A system in Keras's own layers and optimizers, for `--plain`."""

import keras

from common.config import Config
from common.models import registry
from common.models.system import System
from common.nn.layers import BatchNorm


def build_plain(config: Config) -> System:
    """Build the system of `config` with Keras's own batch norm and Adam, whose rates are constant.

    The algorithm is the same; Keras's Adam has epsilon elsewhere, so its updates are not.
    """
    system = registry.build(config)
    system.networks = {name: _plain_network(network) for name, network in system.networks.items()}
    system.optimizers = {
        name: keras.optimizers.Adam(float(adam.learning_rate), adam.beta1, adam.beta2, adam.epsilon)
        for name, adam in system.optimizers.items()
    }
    for name, optimizer in system.optimizers.items():
        optimizer.build(system.variables_of(name))
    return system


def _plain_network(network: keras.Model) -> keras.Model:
    def copy(layer):
        settings = layer.get_config()
        if not isinstance(layer, BatchNorm):
            return type(layer).from_config(settings)
        del settings["statistics"]
        return keras.layers.BatchNormalization.from_config(settings)

    plain = keras.models.clone_model(network, clone_function=copy)
    plain.set_weights(network.get_weights())
    return plain
