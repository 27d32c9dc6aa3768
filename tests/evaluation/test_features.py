"""Features: the classifier learns and repeats, InceptionV3 sees what it should and says what it lacks."""

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from common.data.dataset import Dataset, Factor, Split
from common.errors import UserError
from common.evaluation import features


def corners(count, seed):
    """Grey images of 12 pixels, one quarter bright: which one is the class."""
    random = np.random.RandomState(seed)
    labels = random.randint(0, 4, count)
    images = random.randint(0, 100, (count, 12, 12, 1))
    for image, label in zip(images, labels, strict=True):
        image[6 * (label // 2) :, 6 * (label % 2) :][:6, :6] += 150
    return Split(images.astype(np.uint8), labels[:, None])


@pytest.fixture(scope="module")
def dataset():
    return Dataset("corners", corners(800, 0), corners(1100, 1), (Factor("corner", (0, 1, 2, 3)),), "corner")


@pytest.fixture(scope="module")
def classifier(dataset):
    return features.small_classifier(dataset, "unit", seed=3, batch_size=16)


def test_the_classifier_learns(classifier):
    assert 0.97 < classifier.accuracy <= 1.0


def test_its_logits_are_what_its_accuracy_is_of(dataset, classifier):
    logits = classifier.logits(dataset.test.take(0, len(dataset.test)))
    assert (
        logits.shape == (1100, 4)
        and (logits.argmax(axis=1) == dataset.labels(dataset.test)).mean() == classifier.accuracy
    )


def test_the_classifier_follows_from_its_seed(dataset, classifier):
    wrong = Dataset(
        "wrong", dataset.train, Split(dataset.test.images, (dataset.test.factors + 1) % 4), dataset.factors, "corner"
    )
    again = features.small_classifier(wrong, "unit", seed=3, batch_size=16)
    assert again.accuracy < 0.03
    images = dataset.test.take(0, 20)
    np.testing.assert_array_equal(again.features(images), classifier.features(images))


def test_features_are_of_each_image_alone(dataset, classifier):
    images = dataset.test.take(0, 150)
    whole = classifier.features(images)
    assert whole.shape == (150, 128) and whole.dtype == np.float32 and (whole >= 0).all()
    np.testing.assert_allclose(classifier.features(images[::-1][:7])[::-1], whole[-7:], atol=1e-5)


def test_stored_and_scaled_pixels_have_the_same_features(dataset, classifier):
    images = dataset.test.take(0, 9)
    np.testing.assert_array_equal(classifier.features(images / 255.0), classifier.features(images))


def test_the_classifier_takes_no_more_images_than_it_should(dataset):
    one_batch = features.small_classifier(dataset, "tanh", seed=0, images=16, batch_size=16)
    assert one_batch.accuracy < 0.9
    images = dataset.test.take(0, 9)
    np.testing.assert_allclose(one_batch.features(images / 127.5 - 1.0), one_batch.features(images), atol=1e-6)


def test_without_classes_it_predicts_every_factor(dataset):
    """The second factor is at random, so it is predicted right half of the time; 400 of 800 images are held out."""
    noise = np.random.RandomState(7).randint(0, 2, (800, 1))
    train = Split(dataset.train.images, np.hstack([dataset.train.factors, noise]))
    factors = (*dataset.factors, Factor("noise", (0, 1)))
    both = features.small_classifier(Dataset("", train, None, factors), "unit", seed=3, batch_size=16)
    assert both.logits(train.images[:5]).shape == (5, 6)
    assert both.accuracy == pytest.approx((0.98 + 0.5) / 2, abs=0.06)


def test_the_cross_entropy_of_several_factors_is_their_mean():
    logits = np.log(np.float32([[0.5, 0.25, 0.25, 0.9, 0.1]]))
    loss = features._mean_cross_entropy(tf.constant([[1, 0]]), tf.constant(logits), [3, 2])
    np.testing.assert_allclose(loss, [-(np.log(0.25) + np.log(0.9)) / 2], rtol=1e-6)


def test_images_of_unknown_factors_have_no_classifier(dataset):
    for lacking in (
        Dataset("", Split(dataset.train.images)),
        Dataset("", dataset.train),
        Dataset("", dataset.train, Split(dataset.test.images), dataset.factors, "corner"),
    ):
        with pytest.raises(UserError, match="of known classes or factors"):
            features.small_classifier(lacking, "unit", seed=0)


def test_no_images_have_no_features(classifier):
    with pytest.raises(ValueError, match="no images"):
        classifier.features(np.zeros((0, 12, 12, 1), np.uint8))


@pytest.fixture(scope="module")
def random_inception():
    return keras.applications.InceptionV3(include_top=False, weights=None, pooling="avg")


@pytest.fixture
def built(monkeypatch, random_inception):
    """InceptionV3 is built once."""
    monkeypatch.setattr(keras.applications, "InceptionV3", lambda **arguments: random_inception)


def test_inception_has_2048_features_and_reads_a_weights_file(built, random_inception, tmp_path):
    path = tmp_path / "inception.weights.h5"
    random_inception.save_weights(path)
    kernel = random_inception.get_layer(index=1).kernel
    saved = kernel.numpy()
    kernel.assign(saved * 2.0)
    extract = features.inception("unit", path)
    np.testing.assert_array_equal(kernel.numpy(), saved)
    tf.config.run_functions_eagerly(True)  # Tracing takes longer than one image.
    try:
        result = extract(np.random.RandomState(0).randint(0, 256, (1, 28, 28, 3)).astype(np.uint8))
    finally:
        tf.config.run_functions_eagerly(False)
    assert result.shape == (1, 2048) and result.std() > 0


@pytest.fixture
def means(monkeypatch, tmp_path):
    """Instead of InceptionV3, a network whose features are the least, mean and largest value of each channel."""
    inputs = keras.Input((None, None, 3))
    pool = keras.layers.GlobalMaxPooling2D()
    outputs = keras.layers.Concatenate()([-pool(-inputs), keras.layers.GlobalAveragePooling2D()(inputs), pool(inputs)])
    monkeypatch.setattr(keras.applications, "InceptionV3", lambda **arguments: keras.Model(inputs, outputs))
    path = tmp_path / "means.weights.h5"
    keras.Model(inputs, outputs).save_weights(path)
    return path


@pytest.mark.parametrize("scaling, black, white", [("unit", 0, 255), ("tanh", 0, 255), ("binary", 0, 1)])
def test_inception_sees_minus_1_to_1(means, scaling, black, white):
    images = np.zeros((2, 28, 28, 1), np.uint8) + black
    images[0, :, 14:] = white
    least, mean, largest = np.split(features.inception(scaling, means)(images), 3, axis=1)
    np.testing.assert_allclose(least, [[-1] * 3] * 2, atol=1e-6)
    np.testing.assert_allclose(mean, [[0] * 3, [-1] * 3], atol=1e-6)
    np.testing.assert_allclose(largest, [[1] * 3, [-1] * 3], atol=1e-6)


def test_colours_stay_in_their_channels(means):
    images = np.zeros((70, 8, 8, 3), np.float32)
    images[:, :, :, 1] = 0.5
    mean = features.inception("unit", means)(images)[:, 3:6]
    np.testing.assert_allclose(mean, [[-1, 0, -1]] * 70, atol=1e-6)


def test_a_missing_file_is_named(built, tmp_path):
    with pytest.raises(UserError, match="nothing.h5 does not exist"):
        features.inception("unit", tmp_path / "nothing.h5")


@pytest.mark.parametrize(
    "name", ["broken.h5", "broken.weights.h5", "broken.txt", "empty.h5", "empty.weights.h5", "other.weights.h5"]
)
def test_other_files_are_refused(built, tmp_path, name):
    path = tmp_path / name
    if name.startswith("broken"):
        path.write_bytes(b"no weights at all")
    elif name.startswith("empty"):
        h5py.File(path, "w").close()
    else:
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(path)
    with pytest.raises(UserError, match=f"{name} is not a Keras InceptionV3 weights file"):
        features.inception("unit", path)
