"""The parts of a model: layers, networks, distributions, losses, optimizers, augmentation.

Nothing here knows of training loops, files or flags.
"""

import keras

# Networks take these from here when they are built. A keras.json on this machine may say otherwise.
keras.config.set_image_data_format("channels_last")
keras.config.set_floatx("float32")
