"""InfoVAEGAN in TensorFlow 2: everything that the scripts share."""

import os

# Both must be set before TensorFlow is imported: this project is written for Keras on TensorFlow, and TensorFlow's
# start-up notices would bury the one line that a user needs to see.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
