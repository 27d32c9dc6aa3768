"""The original under TensorFlow 1: its checkpoints, recordings of it, and the comparison with them.

Nothing here knows about the scripts' flags.
"""
