"""TFDS data sets, written without a network."""

import pathlib
from unittest import mock

import numpy as np


def store(folder: pathlib.Path, name: str, version: str, features: dict, splits: dict[str, list[dict]]) -> pathlib.Path:
    """Write `splits`, lists of examples of `features`, as data set `name` in `folder`; returns the version's folder."""
    import tensorflow_datasets as tfds

    keyed = {split: list(enumerate(examples)) for split, examples in splits.items()}
    # TFDS would look for metadata on the network, and leave a temporary folder behind.
    with mock.patch.object(tfds.core.DatasetInfo, "initialize_from_bucket"):
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version=version,
            features=tfds.features.FeaturesDict(features),
            data_dir=str(folder),
            description="made in a test",
            split_datasets=keyed,
        )
    return folder / name / version


def store_mnist(folder: pathlib.Path, images: np.ndarray, labels: np.ndarray, version: str = "3.0.1") -> pathlib.Path:
    """Write uint8 [n, 28, 28] images and labels as both splits of MNIST."""
    import tensorflow_datasets as tfds

    examples = [{"image": image[..., None], "label": label} for image, label in zip(images, labels, strict=True)]
    features = {"image": tfds.features.Image(shape=(28, 28, 1)), "label": tfds.features.ClassLabel(num_classes=10)}
    return store(folder, "mnist", version, features, {"train": examples, "test": examples})


def store_celeba(folder: pathlib.Path, shape: tuple, names: tuple[str, ...], splits: dict[str, list]) -> pathlib.Path:
    """Write CelebA; `splits` are lists of (image or file, levels of the attributes `names`)."""
    import tensorflow_datasets as tfds

    features = {
        "image": tfds.features.Image(shape=shape, encoding_format="jpeg"),
        "attributes": dict.fromkeys(names, np.bool_),
    }
    examples = {
        split: [{"image": image, "attributes": dict(zip(names, map(bool, row), strict=True))} for image, row in pairs]
        for split, pairs in splits.items()
    }
    return store(folder, "celeb_a", "2.1.0", features, examples)
