"""Features of images for FID and KID: of Keras's InceptionV3, or of a small classifier that is trained on the spot."""

import functools
import pathlib
import warnings
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from common.data.dataset import Dataset, Images, Split
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
_HELD_OUT = 2000  # Training images that score the classifier of data without test images.


class Classifier(NamedTuple):
    """A classifier trained for its features.

    Attributes:
        features: images -> float32 [n, 128], the activations before the logits.
        logits: images -> float32 [n, sum of L]: L of each factor that it predicts, one after the other.
        accuracy: its accuracy on images that did not train it, in [0, 1], the mean over the factors that it predicts:
            how much its features can be trusted.
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
    """Train a small convolutional network for one epoch; on a CPU, a function of the seed.

    It predicts the class of an image or, if the data set has no classes, the level of each of its factors.

    Args:
        dataset: with factors. Without test images, some training images are held out to score the classifier.
        scaling: see `common.data.pipeline.scale`.
        seed: decides initial weights, and which training images are used in which order.
        images: how many training images at most.
        batch_size: of training.

    Raises:
        UserError: the factors are not known.
    """
    columns = [k for k, factor in enumerate(dataset.factors) if dataset.label in (None, factor.name)]
    if not columns or dataset.train.factors is None or len(dataset.train) < 2:
        raise UserError("a classifier's features need images of known classes or factors; there are none")
    order = np.random.RandomState(seed).permutation(len(dataset.train))
    if dataset.test:
        held_out = dataset.test
    else:
        order, rest = np.split(order, [-min(_HELD_OUT, len(order) // 2)])
        held_out = Split(dataset.train.images[rest], dataset.train.factors[rest])
    if held_out.factors is None:
        raise UserError("a classifier's features need test images of known classes or factors; there are none")
    chosen = order[:images]
    pixels, targets = dataset.train.images[chosen], dataset.train.factors[chosen][:, columns]
    levels = [dataset.factors[k].levels for k in columns]
    to_unit = RANGES[scaling].to_unit
    network = _classifier(pixels.shape[1:], sum(levels), layer_seed(seed, "small_classifier"))
    network.compile("adam", functools.partial(_mean_cross_entropy, levels=levels), jit_compile=False)
    batches = tf.data.Dataset.from_tensor_slices((pixels, targets)).batch(batch_size)
    network.fit(batches.map(lambda x, y: (to_unit(scale(x, scaling)), y)), shuffle=False, verbose=0)

    penultimate = keras.Model(network.inputs, network.layers[-2].output)
    logits = _in_chunks(lambda x: network(to_unit(x), training=False), scaling)
    extract = _in_chunks(lambda x: penultimate(to_unit(x), training=False), scaling)
    parts = np.split(logits(held_out.images), np.cumsum(levels)[:-1], axis=1)
    predicted = np.stack([part.argmax(axis=1) for part in parts], axis=1)
    return Classifier(extract, logits, float((predicted == held_out.factors[:, columns]).mean()))


def _mean_cross_entropy(targets: tf.Tensor, logits: tf.Tensor, levels: list[int]) -> tf.Tensor:
    """Return the mean cross-entropy [B] of F factors: their levels, int [B, F], and logits [B, sum(levels)]."""
    parts = zip(tf.unstack(targets, len(levels), axis=1), tf.split(logits, levels, axis=1), strict=True)
    losses = [keras.losses.sparse_categorical_crossentropy(y, part, from_logits=True) for y, part in parts]
    return tf.reduce_mean(tf.stack(losses), axis=0)


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
