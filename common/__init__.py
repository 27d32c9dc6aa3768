"""InfoVAEGAN in TensorFlow 2: everything that the scripts share."""

import os

from common import requirements

requirements.check()

# Before TensorFlow is imported: the project is written for Keras on TensorFlow; its log of the start would bury
# the lines that matter; oneDNN's kernels, off by default on some processors, nearly halve the time of a step.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
