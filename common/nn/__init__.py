"""The parts of a model: layers, networks, distributions, losses, optimizers, augmentation.

Nothing here knows of training loops, files or flags.
"""
