"""Features of images for FID and KID: of Keras's InceptionV3, or of a small classifier that is trained on the spot."""

import os
import pathlib
import warnings
from typing import Callable, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from common.data.dataset import Dataset
from common.data.pipeline import scale
from common.errors import UserError, first_line
from common.nn.layers import layer_seed

Extractor = Callable[
    [np.ndarray], np.ndarray
]  # Images [n, h, w, c]: uint8 as stored, or floats as the networks see them -> float32 [n, d].

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


def inception(scaling: str, weights: pathlib.Path | None = None, download: bool = False) -> Extractor:
    """Features [n, 2048] of Keras's InceptionV3 (ImageNet, averaged over the last map).

    Images of any size are resized to 299 pixels (bilinear); grey ones are repeated over the three channels. The weights are Keras's
    own, not those of published FIDs, whose numbers are therefore not comparable.

    Args:
        scaling: what floats among the images mean, see `common.data.pipeline.scale`.
        weights: Keras's `INCEPTION_FILE`, or another file of such weights; by default Keras's copy in ~/.keras/models.
        download: whether Keras may download the file where there is none.

    Raises:
        UserError: there are no weights, or not of this network.
    """
    cached = pathlib.Path(os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras") / "models" / INCEPTION_FILE
    if weights is None and cached.is_file():
        weights = cached
    if weights is not None:
        model = _inception_from(weights)
    elif download:
        model = _downloaded_inception()
    else:
        raise UserError(
            f"no InceptionV3 weights: {cached} does not exist; name Keras's {INCEPTION_FILE}, or allow its download"
        )

    def features(images):
        images = tf.image.resize(_to_unit(images, scaling), (_INCEPTION_SIDE, _INCEPTION_SIDE)) * 2.0 - 1.0
        return model(tf.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images, training=False)

    return _in_chunks(features, scaling)


def small_classifier(
    dataset: Dataset, scaling: str, seed: int, images: int = 20_000, batch_size: int = 64
) -> Classifier:
    """Trains a small convolutional network to tell the classes of `dataset` apart, for one epoch; on a CPU, a function of the seed.

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
    network = _classifier(pixels.shape[1:], levels, layer_seed(seed, "small_classifier"))
    network.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    batches = tf.data.Dataset.from_tensor_slices((pixels, labels[chosen])).batch(batch_size)
    network.fit(batches.map(lambda x, y: (_to_unit(scale(x, scaling), scaling), y)), shuffle=False, verbose=0)

    penultimate = keras.Model(network.inputs, network.layers[-2].output)
    logits = _in_chunks(lambda x: network(_to_unit(x, scaling), training=False), scaling)
    correct = 0
    for start in range(0, len(dataset.test), 1000):
        predicted = logits(dataset.test.take(start, start + 1000)).argmax(axis=1)
        correct += int((predicted == dataset.labels(dataset.test)[start : start + 1000]).sum())
    return Classifier(
        _in_chunks(lambda x: penultimate(_to_unit(x, scaling), training=False), scaling),
        logits,
        correct / len(dataset.test),
    )


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


def _to_unit(images: tf.Tensor, scaling: str) -> tf.Tensor:
    """Images as the networks see them, float32, to [0, 1]."""
    return (images + 1.0) / 2.0 if scaling == "tanh" else images


def _in_chunks(function: Callable[[tf.Tensor], tf.Tensor], scaling: str) -> Extractor:
    """`function` of float images on arrays of any length and of stored pixels too, a chunk at a time."""
    compiled = tf.function(function, reduce_retracing=True)

    def extract(images: np.ndarray) -> np.ndarray:
        if len(images) == 0:
            raise ValueError("no images to take features of")
        chunks = (images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK))
        return np.concatenate(
            [
                compiled(scale(tf.constant(c), scaling) if c.dtype == np.uint8 else tf.constant(c, tf.float32)).numpy()
                for c in chunks
            ]
        )

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
            f"{path} holds no weights of Keras's InceptionV3 without its top: {first_line(error)}"
        ) from None
    return model


def _downloaded_inception() -> keras.Model:
    try:
        return keras.applications.InceptionV3(include_top=False, weights="imagenet", pooling="avg")
    except Exception as error:  # Keras raises no narrower one where a download fails.
        raise UserError(f"no InceptionV3 weights: {first_line(error)}; name Keras's {INCEPTION_FILE} instead") from None
