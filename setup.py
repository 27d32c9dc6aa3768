"""The package `infovaegan`: `pip install -e .` makes `common` importable, and the scripts run from the clone."""

import setuptools
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.install import install

NOT_EDITABLE = (
    "infovaegan runs from its clone. Installed into site-packages, its package `common` would collide with others "
    "of that name. Run this instead, in the clone: pip install -e ."
)
TENSORFLOW = ">=2.21,<2.22"


class RefuseWheel(bdist_wheel):
    """Stops `pip install .` and `pip wheel .`; an editable install uses this command only for its metadata."""

    def run(self):
        """Raise SystemExit with the command that works."""
        raise SystemExit(NOT_EDITABLE)


class RefuseInstall(install):
    """Stops `python setup.py install`."""

    def run(self):
        """Raise SystemExit with the command that works."""
        raise SystemExit(NOT_EDITABLE)


setuptools.setup(
    name="infovaegan",
    version="0.1.0",
    description="InfoVAEGAN (Ye & Bors, 2021) in TensorFlow 2: interpretable codes without labels",
    license="MIT",
    python_requires=">=3.10,<3.14",
    packages=setuptools.find_packages(include=["common", "common.*"]),
    package_dir={"": "."},  # An editable install then adds this folder to sys.path, without a warning.
    cmdclass={"bdist_wheel": RefuseWheel, "install": RefuseInstall},
    install_requires=[
        f"tensorflow{TENSORFLOW}",
        "tensorflow-datasets>=4.9.10,<4.10",  # Earlier ones fail with protobuf 7, which TensorFlow 2.21 admits.
        "importlib_resources",  # TFDS imports it without declaring it.
        "tensorflow-probability[tf]>=0.25,<0.26",  # The extra brings tf-keras, without which it does not import.
        "numpy>=2.0,<2.6",
        "pillow>=11.0,<14",
    ],
    extras_require={
        "gpu": [f"tensorflow[and-cuda]{TENSORFLOW}"],  # TensorFlow with CUDA and cuDNN, on Linux.
        "onnx": ["tf2onnx>=1.17,<2", "onnx>=1.20,<2"],  # For the ONNX files of the command export.
        "tensorboard": ["tensorboard"],  # For --tensorboard; TensorFlow no longer brings it.
        "test": [
            "pytest>=8",
            "pytest-xdist>=3",
            "hypothesis>=6",
            "tensorboard",
            "tf2onnx>=1.17,<2",
            "onnx>=1.20,<2",
            "onnxruntime>=1.20,<2",
        ],
        "dev": ["ruff>=0.17.6,<0.18", "pyright[nodejs]==1.1.414", "pre-commit>=4,<5"],
    },
)
