"""InfoVAEGAN in TensorFlow 2: everything that the scripts share."""

import os

# All must be set before TensorFlow is imported. This project is written for Keras on TensorFlow; TensorFlow's start-up notices
# would bury the one line that a user needs to see; and oneDNN's kernels, which TensorFlow leaves off on some processors, nearly
# halve the time of a training step there.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
