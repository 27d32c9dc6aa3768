"""Features of images for FID and KID: of Keras's InceptionV3, or of a small classifier that is trained on the spot."""

import pathlib
import warnings
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from common.data.dataset import Dataset, Images
from common.data.pipeline import scale
from common.data.pixels import RANGES
from common.errors import UserError, first_line
from common.evaluation.encode import to_inputs
from common.nn.layers import layer_seed

# Images [n, h, w, c], stored pixels or floats as the networks see them -> float32 [n, d].
Extractor = Callable[[Images], np.ndarray]

INCEPTION_FILE = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
_INCEPTION_SIDE = 299
_CHUNK = 64  # Images at a time, so that a call takes no more memory for more images.


class Classifier(NamedTuple):
    """A classifier trained for its features.

    Attributes:
        features: images -> float32 [n, 128], the activations before the logits.
        logits: images -> float32 [n, L].
        accuracy: its accuracy on the test images, in [0, 1]: how much its features can be trusted.
    """

    features: Extractor
    logits: Extractor
    accuracy: float


def inception(scaling: str, weights: pathlib.Path) -> Extractor:
    """Return features [n, 2048] of Keras's InceptionV3 (ImageNet, averaged over the last map).

    Images of any size are resized to 299 pixels (bilinear); grey images are converted to RGB. The weights are Keras's
    own, not those of published FIDs, whose numbers are therefore not comparable.

    Args:
        scaling: what floats among the images mean, see `common.data.pipeline.scale`.
        weights: Keras's `INCEPTION_FILE`, or another file of such weights.

    Raises:
        UserError: there are no weights, or not of this network.
    """
    model, to_unit = _inception_from(weights), RANGES[scaling].to_unit

    def features(images):
        images = tf.image.resize(to_unit(images), (_INCEPTION_SIDE, _INCEPTION_SIDE)) * 2.0 - 1.0
        return model(tf.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images, training=False)

    return _in_chunks(features, scaling)


def small_classifier(
    dataset: Dataset, scaling: str, seed: int, images: int = 20_000, batch_size: int = 64
) -> Classifier:
    """Train a small convolutional network on the classes of `dataset` for one epoch; on a CPU, a function of the seed.

    Args:
        dataset: with labels, and a test split.
        scaling: see `common.data.pipeline.scale`.
        seed: decides initial weights, and which training images are used in which order.
        images: how many training images at most.
        batch_size: of training.

    Raises:
        UserError: the data set has no labels or no test images.
    """
    labels = dataset.labels(dataset.train)
    if labels is None or dataset.test is None:
        raise UserError("a classifier's features need a data set with labels and a test split; this one has none")
    levels = next(f.levels for f in dataset.factors if f.name == dataset.label)
    chosen = np.random.RandomState(seed).permutation(len(dataset.train))[:images]
    pixels = dataset.train.images[chosen]
    to_unit = RANGES[scaling].to_unit
    network = _classifier(pixels.shape[1:], levels, layer_seed(seed, "small_classifier"))
    network.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    batches = tf.data.Dataset.from_tensor_slices((pixels, labels[chosen])).batch(batch_size)
    network.fit(batches.map(lambda x, y: (to_unit(scale(x, scaling)), y)), shuffle=False, verbose=0)

    penultimate = keras.Model(network.inputs, network.layers[-2].output)
    logits = _in_chunks(lambda x: network(to_unit(x), training=False), scaling)
    correct = logits(dataset.test.images).argmax(axis=1) == dataset.labels(dataset.test)
    extract = _in_chunks(lambda x: penultimate(to_unit(x), training=False), scaling)
    return Classifier(extract, logits, float(correct.mean()))


def _classifier(shape: tuple[int, int, int], levels: int, seed: int) -> keras.Model:
    def init(name):
        return {"kernel_initializer": keras.initializers.GlorotUniform(seed=layer_seed(seed, name)), "name": name}

    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Conv2D(32, 3, padding="same", activation="relu", **init("conv1")),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(64, 3, padding="same", activation="relu", **init("conv2")),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu", **init("features")),
            keras.layers.Dense(levels, **init("logits")),
        ]
    )


def _in_chunks(function: Callable[[tf.Tensor], tf.Tensor], scaling: str) -> Extractor:
    """`function` of float images, for any number of images, `_CHUNK` at a time."""
    compiled = tf.function(function, reduce_retracing=True)

    def extract(images: Images) -> np.ndarray:
        if len(images) == 0:
            raise ValueError("no images to take features of")
        chunks = np.array_split(np.arange(len(images)), -(-len(images) // _CHUNK))
        return np.concatenate([compiled(to_inputs(images[chunk], scaling)).numpy() for chunk in chunks])

    return extract


def _inception_from(path: pathlib.Path) -> keras.Model:
    if not path.is_file():
        raise UserError(f"no InceptionV3 weights: {path} does not exist; it should be Keras's {INCEPTION_FILE}")
    model = keras.applications.InceptionV3(include_top=False, weights=None, pooling="avg")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Of layers that keep their initial weights.
            model.load_weights(path)
    except (OSError, ValueError, KeyError, TypeError, UserWarning) as error:
        raise UserError(
            f"{path} is not a Keras InceptionV3 weights file (include_top=False): {first_line(error)}"
        ) from None
    return model
