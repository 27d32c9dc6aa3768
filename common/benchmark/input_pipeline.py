"""Measures a data set's way to the networks: python -m common.benchmark.input_pipeline {mnist,chairs,celeba,dsprites} [--data-dir DIR].

Without --data-dir, it measures files that it makes itself from the stand-in, of the real ones' format and size.
"""

import argparse
import pathlib
import resource
import sys
import tempfile
import time

import numpy as np
from PIL import Image

from common.data import celeba, chairs, dsprites, mnist
from common.data.dataset import Dataset
from common.data.files import ImageFiles
from common.data.synthetic import chairs as drawn_chairs
from common.data.synthetic import digits, faces, sprites
from common.errors import UserError
from common.options import Cache

BATCH = 64
SAMPLE = 256  # Image files that are decoded for the measurement, spread over the data set.


def make_mnist(folder: pathlib.Path, count: int) -> None:
    """mnist.npz of `count` synthetic digits."""
    images = digits.images(np.arange(count))[..., 0]
    labels = digits.factors(np.arange(count))[:, [factor.name for factor in digits.FACTORS].index("digit")]
    np.savez_compressed(folder / "mnist.npz", x_train=images, y_train=labels, x_test=images[:1], y_test=labels[:1])


def make_chairs(folder: pathlib.Path, count: int) -> None:
    """`count` PNGs of 600x600 pixels, a chair in the centre of each."""
    renders = folder / "rendered_chairs" / "0" / "renders"
    renders.mkdir(parents=True)
    for i in range(count):
        _frame(drawn_chairs.images([i])[0], (600, 600)).save(renders / f"image_{i:03d}_p020_t{i:03d}_r096.png")


def make_celeba(folder: pathlib.Path, count: int) -> None:
    """`count` JPEGs of 178x218 pixels, a face in the centre of each."""
    (folder / "img_align_celeba").mkdir()
    for i in range(count):
        _frame(faces.images([i])[0], (178, 218)).save(folder / "img_align_celeba" / f"{i + 1:06d}.jpg", quality=90)


def make_dsprites(folder: pathlib.Path, count: int) -> None:
    """The official npz with `count` of its images."""
    indices = np.linspace(0, sprites.SIZE - 1, count).astype(np.int64)
    np.savez_compressed(
        folder / dsprites.OFFICIAL, imgs=sprites.images(indices)[..., 0], latents_classes=sprites.factors(indices)
    )


def _frame(image: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """`image` [h, w, 3] in the middle of a white picture of (width, height) `size`."""
    picture = Image.new("RGB", size, "white")
    picture.paste(
        Image.fromarray(image), tuple(round((whole - part) / 2) for whole, part in zip(size, image.shape[1::-1]))
    )
    return picture


# Each data set's module, its scaling, and who makes how many images of it.
SETS = {
    "mnist": (mnist, "unit", make_mnist, 10_000),
    "chairs": (chairs, "tanh", make_chairs, 500),
    "celeba": (celeba, "tanh", make_celeba, 2_000),
    "dsprites": (dsprites, "binary", make_dsprites, 50_000),
}


def preprocessing_rate(module, path: pathlib.Path) -> float:
    """Images a second that one process gets out of the files, without a cache."""
    start = time.perf_counter()
    images = module.read(path, Cache(pathlib.Path(), enabled=False)).train.images
    count = len(images)
    if isinstance(images, ImageFiles):  # Not read yet.
        sample = np.unique(np.linspace(0, count - 1, SAMPLE).astype(np.int64))
        start, count = time.perf_counter(), len(sample)
        images[sample]
    return count / (time.perf_counter() - start)


def reading_rate(dataset: Dataset, scaling: str, steps: int, batch_size: int = BATCH) -> float:
    """Images a second that come out of the input pipeline, in training order and as float32."""
    from common.data.pipeline import Batches  # Imports TensorFlow, which the workers, who import this file, do without.

    batches = iter(
        Batches(dataset.train.images, min(batch_size, len(dataset.train)), scaling, seed=0).from_step(0, steps + 1)
    )
    size = len(next(batches))  # The first one starts the pipeline.
    start = time.perf_counter()
    for _ in batches:
        pass
    return steps * size / (time.perf_counter() - start)


def peak_memory() -> int:
    """The largest resident size of this process so far, in MiB. (What getrusage tells of workers is their parent's size at their start.)"""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (
        1 << 20 if sys.platform == "darwin" else 1 << 10
    )  # In bytes there, else KiB.


def report(name: str, path: pathlib.Path, steps: int) -> None:
    """Measures data set `name` in `path` and prints the lines."""
    module, scaling = SETS[name][:2]
    print(f"memory before any data: {peak_memory()} MiB")
    with tempfile.TemporaryDirectory(prefix="infovaegan-cache-") as folder:
        start = time.perf_counter()
        dataset = module.read(path, Cache(pathlib.Path(folder)))
        print(
            f"opening {len(dataset.train)} images of {dataset.source}, cache building included: {time.perf_counter() - start:.1f} s"
        )
        print(
            f"cached reading, batches of {BATCH} in training order: {reading_rate(dataset, scaling, steps):.0f} images/s"
        )
        print(f"peak memory: {peak_memory()} MiB, TensorFlow's own included")
    print(f"preprocessing, one core: {preprocessing_rate(module, path):.0f} images/s")


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m common.benchmark.input_pipeline", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("dataset", choices=sorted(SETS))
    parser.add_argument("--data-dir", type=pathlib.Path, help="the real data; without it, files made from the stand-in")
    parser.add_argument("--images", type=int, help="how many of them to make")
    parser.add_argument("--steps", type=int, default=1000, help="batches to read")
    arguments = parser.parse_args(argv)
    try:
        if arguments.data_dir:
            report(arguments.dataset, arguments.data_dir, arguments.steps)
            return 0
        with tempfile.TemporaryDirectory(prefix="infovaegan-data-") as folder:
            make, count = SETS[arguments.dataset][2:]
            make(pathlib.Path(folder), arguments.images or count)
            report(arguments.dataset, pathlib.Path(folder), arguments.steps)
    except UserError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
