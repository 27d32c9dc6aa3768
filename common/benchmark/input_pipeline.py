"""The way of a data set's images to the networks: `python -m common.benchmark input <data set>`."""

import importlib
import pathlib
import resource
import sys
import tempfile
import time

import numpy as np
from PIL import Image

from common.data.dataset import Dataset
from common.data.files import ImageFiles
from common.data.synthetic import chairs, digits, faces, sprites
from common.options import Cache
from common.runs import SCRIPTS, load_script

_BATCH = 64
_DECODED = 256  # Image files that are decoded, spread over the data set.
_COUNTS = {"mnist": 10_000, "3dchairs": 500, "celeba": 2_000, "dsprites": 50_000}  # Images to make, without --images.
# Image files: the synthetic images, the size of a file's picture (width, height), and the file's name.
_FILES = {
    "3dchairs": (chairs, (600, 600), "rendered_chairs/0/renders/image_{0:03d}_p020_t{0:03d}_r096.png"),
    "celeba": (faces, (178, 218), "img_align_celeba/{:06d}.jpg"),
}


def make_files(name: str, folder: pathlib.Path, count: int) -> None:
    """Write `count` synthetic images of data set `name`, in the real files' format and size."""
    if name == "mnist":
        images, factors = digits.images(np.arange(count))[..., 0], digits.factors(np.arange(count))
        labels = factors[:, [factor.name for factor in digits.FACTORS].index("digit")]
        np.savez_compressed(folder / "mnist.npz", x_train=images, y_train=labels, x_test=images[:1], y_test=labels[:1])
    elif name == "dsprites":
        from common.data.dsprites import OFFICIAL

        indices = np.linspace(0, sprites.SIZE - 1, count).astype(np.int64)
        pixels, levels = sprites.images(indices)[..., 0], sprites.factors(indices)
        np.savez_compressed(folder / OFFICIAL, imgs=pixels, latents_classes=levels)
    else:
        source, (width, height), file = _FILES[name]
        (folder / file).parent.mkdir(parents=True)
        for i in range(count):
            picture, image = Image.new("RGB", (width, height), "white"), Image.fromarray(source.images([i])[0])
            picture.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
            picture.save(folder / file.format(i + 1), quality=90)


def preprocessing_rate(module, path: pathlib.Path) -> float:
    """Return how many images per second one process gets out of the files, without a cache."""
    start = time.perf_counter()
    images = module.read(path, Cache(pathlib.Path(), enabled=False)).train.images
    count = len(images)
    if isinstance(images, ImageFiles):  # Not read yet.
        sample = np.unique(np.linspace(0, count - 1, _DECODED).astype(np.int64))
        start, count = time.perf_counter(), len(sample)
        images[sample]
    return count / (time.perf_counter() - start)


def reading_rate(dataset: Dataset, scaling: str, steps: int, batch_size: int = _BATCH) -> float:
    """Return how many images per second come out of the input pipeline, in training order and as float32."""
    from common.data.pipeline import Batches  # TensorFlow: the worker processes, which import this file, do without.

    batch_size = min(batch_size, len(dataset.train))
    batches = iter(Batches(dataset.train.images, batch_size, scaling, seed=0).from_step(0, steps + 1))
    next(batches)  # The first one starts the pipeline.
    start = time.perf_counter()
    for _ in batches:
        pass
    return steps * batch_size / (time.perf_counter() - start)


def peak_memory() -> int:
    """Return the largest resident size of this process so far, in MiB."""
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10  # Bytes there, else KiB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit


def report(name: str, path: pathlib.Path | None, images: int | None, steps: int) -> None:
    """Measure data set `name` in `path`, or in `images` synthetic files, and print the numbers."""
    with tempfile.TemporaryDirectory(prefix="infovaegan-") as folder:
        data, cache = pathlib.Path(folder, "data"), pathlib.Path(folder, "cache")
        if path is None:
            data.mkdir()
            make_files(name, data, images or _COUNTS[name])
        config = load_script(SCRIPTS[name])[0]
        module, before = importlib.import_module(f"common.data.{config.dataset}"), peak_memory()
        start = time.perf_counter()
        dataset = module.read(path or data, Cache(cache))
        opening = time.perf_counter() - start
        reading, after = reading_rate(dataset, config.scaling, steps), peak_memory()
        print(f"opening {len(dataset.train)} images of {dataset.source}, including caching: {opening:.1f} s")
        print(f"cached reading, batches of {_BATCH} in training order: {reading:.0f} images/s")
        print(f"preprocessing, one core: {preprocessing_rate(module, path or data):.0f} images/s")
        print(f"peak memory: {after} MiB, including TensorFlow's; before any data: {before} MiB")
