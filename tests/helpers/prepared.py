"""Data sets as TFDS prepares them, written without a network."""

import pathlib

import numpy as np


def store(folder: pathlib.Path, name: str, version: str, features: dict, splits: dict[str, list[dict]]) -> pathlib.Path:
    """Writes `splits`, lists of examples of `features`, as data set `name` below `folder` and returns the version's folder."""
    import tensorflow_datasets as tfds

    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version=version,
        features=tfds.features.FeaturesDict(features),
        data_dir=str(folder),
        description="made in a test",
        split_datasets={
            split: [(str(i), example) for i, example in enumerate(examples)] for split, examples in splits.items()
        },
    )
    return folder / name / version


def store_mnist(folder: pathlib.Path, images: np.ndarray, labels: np.ndarray, version: str = "3.0.1") -> pathlib.Path:
    """Writes uint8 [n, 28, 28] images and labels as both splits of MNIST."""
    import tensorflow_datasets as tfds

    examples = [{"image": image[..., None], "label": label} for image, label in zip(images, labels)]
    features = {"image": tfds.features.Image(shape=(28, 28, 1)), "label": tfds.features.ClassLabel(num_classes=10)}
    return store(folder, "mnist", version, features, {"train": examples, "test": examples})
