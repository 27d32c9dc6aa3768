"""InfoVAEGAN in TensorFlow 2: everything that the scripts share."""

import os

# All must be set before TensorFlow is imported. The project is written for Keras on TensorFlow; the log of TensorFlow's
# start would bury the lines that matter; oneDNN's kernels, off by default on some processors, nearly halve a step's time.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
