"""What is known of a data set before hours are spent on it."""

from typing import Any

import numpy as np

from common.data.dataset import Dataset
from common.data.entries import shorten

SIGNS = (-1, 1)  # The values of an attribute.
_SAMPLE = 1024  # Images whose pixels are looked at.


def facts(dataset: Dataset) -> dict[str, Any]:
    """Return what a data set contains, JSON-ready.

    The keys: `source`; the numbers of images `train` and `test` and of `classes`; the names of `attributes`, which are
    -1 or 1; the number of values of the other `factors`, by name; the `min` and `max` of `pixels` as they are stored,
    in a sample of the training images; the names of files that are `unused`, and of images left out as `broken`.
    """
    others = [factor for factor in dataset.factors if factor.name != dataset.label]
    count = len(dataset.train)
    sample = dataset.train.images[np.unique(np.linspace(0, count - 1, _SAMPLE).astype(np.int64))]
    return {
        "source": dataset.source,
        "train": count,
        "test": len(dataset.test) if dataset.test else 0,
        "classes": dataset.classes.levels if dataset.classes else 0,
        "attributes": [factor.name for factor in others if factor.values == SIGNS],
        "factors": {factor.name: factor.levels for factor in others if factor.values != SIGNS},
        "pixels": {"min": int(sample.min()), "max": int(sample.max())},
        "unused": list(dataset.unused),
        "broken": list(dataset.broken),
    }


def lines(found: dict[str, Any]) -> list[str]:
    """Return what `facts` found as aligned lines: a name, then what it is."""
    factors = ", ".join(f"{name} {count}" for name, count in found["factors"].items())
    texts = {
        "source": found["source"],
        "train": f"{found['train']:,} images",
        "test": f"{found['test']:,} images",
        "classes": found["classes"] or "none",
        "attributes": _counted(found["attributes"]),
        "factors": factors or "none",
        "pixels": f"{found['pixels']['min']} to {found['pixels']['max']}, in up to {_SAMPLE:,} images",
        "unused": _counted(found["unused"]),
        "broken": _counted(found["broken"]),
    }
    return [f"{name:<10}  {text}" for name, text in texts.items()]


def _counted(names: list[str]) -> str:
    return f"{len(names):,}: {shorten(names)}" if names else "none"
