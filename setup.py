"""The package `infovaegan`: `pip install -e .` makes `common` importable; the scripts run from the checkout."""

import setuptools

setuptools.setup(
    name="infovaegan",
    version="0.1.0",
    description="InfoVAEGAN (Ye & Bors, 2021) in TensorFlow 2: interpretable codes without labels",
    license="MIT",
    python_requires=">=3.10,<3.13",
    packages=setuptools.find_packages(include=["common", "common.*"]),
    install_requires=[
        "tensorflow>=2.21,<2.22",
        "tensorflow-datasets>=4.9.10,<4.10",  # Earlier ones fail with protobuf 7, which TensorFlow 2.21 admits.
        "importlib_resources",  # TFDS imports it without declaring it.
        "tensorflow-probability[tf]>=0.25,<0.26",  # The extra brings tf-keras, without which it does not import.
        "numpy>=2.0,<2.5",
        "pillow>=11.0,<14",
    ],
    extras_require={
        "tensorboard": ["tensorboard"],  # For --tensorboard; TensorFlow no longer brings it.
        "test": ["pytest>=8", "pytest-xdist>=3", "hypothesis>=6", "tensorboard"],
    },
)
