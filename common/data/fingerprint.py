"""What identifies a data set by its content, wherever it lies and in whatever form."""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from common.data.dataset import Dataset, Images, Split

_WHOLE = 1 << 26  # Bytes of pixels up to which all images of a split count; of a larger one, `_SELECTED` do.
_SELECTED = 256
_CHUNK = 256  # Images at a time.
_NAMES = {"train": "training", "test": "test"}


def fingerprint(dataset: Dataset) -> dict[str, Any]:
    """Return counts, shapes and hashes of the images and labels of `dataset`, JSON-ready.

    All labels count, and all images of a split of up to 64 MiB of pixels; of a larger or synthetic one, 256 evenly
    spaced images do. The same content has the same fingerprint with and without the cache.
    """
    splits = {"train": dataset.train, "test": dataset.test or None}  # A split without images is none.
    return {
        **{name: split and _of_split(split, dataset.synthetic) for name, split in splits.items()},
        "factors": {factor.name: factor.levels for factor in dataset.factors},
    }


def _of_split(split: Split, synthetic: bool) -> dict[str, Any]:
    count, shape = len(split), list(split.take(0, 1).shape[1:])
    whole = count * int(np.prod(shape)) <= _WHOLE and not synthetic
    chosen = np.arange(count) if whole else np.linspace(0, count - 1, min(count, _SELECTED)).astype(np.int64)
    labels = None if split.factors is None else _hash([split.factors.astype("<i8")])
    return {"count": count, "shape": shape, "images": _hash(_chunks(split.images, chosen)), "labels": labels}


def _chunks(images: Images, indices: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(indices), _CHUNK):
        yield images[indices[start : start + _CHUNK]]


def _hash(arrays: Iterator[np.ndarray] | list[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()[:32]


def differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Return in words what differs between two fingerprints, "" if nothing does. `before` may hold anything."""
    found = []
    for split, name in _NAMES.items():
        old, new = before.get(split), now[split]
        if not isinstance(old, dict) or new is None:
            if old != new:
                found.append(f"{'no' if new is None else 'unexpected'} {name} images")
        elif old.get("count") != new["count"]:
            found.append(f"{new['count']} {name} images instead of {str(old.get('count'))[:20]}")
        elif old.get("shape") != new["shape"]:
            found.append(f"{name} images of {new['shape']} instead of {str(old.get('shape'))[:40]}")
        else:
            what = {"images": f"other {name} images", "labels": f"other labels of the {name} images"}
            found += [text for key, text in what.items() if old.get(key) != new[key]]
    if before.get("factors") != now["factors"]:
        found.append("other attributes or factors")
    return ", ".join(found)
