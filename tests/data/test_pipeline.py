"""The order of the data, a function of (seed, epoch) from any step on; and the scaling of pixels."""

import types

import numpy as np
import pytest
import tensorflow as tf

from common.data.dataset import Split, Subset, SyntheticImages
from common.data.pipeline import Batches, scale
from common.data.pixels import RANGES
from common.errors import UserError

pytestmark = pytest.mark.fast

COUNT, SIZE = 23, 5  # 4 batches per epoch, and 3 images left over.
RECORDED = [[12, 9, 1, 16, 4], [21, 3, 20, 7, 15], [17, 21, 16, 19, 18]]  # Steps 0, 1 and 4 of seed 0.
IMAGES = np.arange(COUNT, dtype=np.uint8)[:, None, None, None] * np.ones((2, 2, 1), np.uint8)  # Image i is all i.


def batches(seed=1, images=IMAGES, size=SIZE):
    return Batches(images, size, "binary", seed)


def order(batches, first, last):
    """The images that steps [first, last) get: int [last - first, B]."""
    return np.stack([batch.numpy()[:, 0, 0, 0].astype(int) for batch in batches.from_step(first, last)])


def test_epoch_visits_no_image_twice_and_drops_the_remainder():
    assert batches().steps_per_epoch == 4
    for epoch in range(3):
        seen = order(batches(), 4 * epoch, 4 * epoch + 4).ravel()
        assert len(set(seen.tolist())) == 20


def test_epoch_of_whole_batches_is_a_permutation():
    whole = batches(images=IMAGES[:20])
    for epoch in range(3):
        assert sorted(order(whole, 4 * epoch, 4 * epoch + 4).ravel()) == list(range(20))


def test_epochs_and_seeds_have_their_own_order():
    epochs = [order(batches(seed), 4 * epoch, 4 * epoch + 4).ravel().tolist() for seed in (1, 2) for epoch in (0, 1, 2)]
    assert len({tuple(e) for e in epochs}) == 6
    assert tuple(range(20)) not in {tuple(e) for e in epochs}


def test_every_image_is_visited_within_some_epochs():
    assert len(np.unique(order(batches(), 0, 40))) == COUNT


def test_batches_are_the_same_from_any_step_on():
    whole = order(batches(), 0, 12)
    for first in (1, 3, 4, 7, 11):
        np.testing.assert_array_equal(order(batches(), first, 12), whole[first:])


def test_order_is_as_recorded():
    """If an update of a package changed it, runs could not be resumed exactly."""
    steps = [batches(seed=0).indices(tf.constant(step, tf.int64)).numpy().tolist() for step in (0, 1, 4)]
    assert steps == RECORDED


def test_data_set_must_have_a_whole_batch():
    assert sorted(order(batches(images=IMAGES[:SIZE]), 0, 1)[0]) == list(range(SIZE))
    with pytest.raises(UserError, match="--batch-size 5 is larger than the data set of 4 images"):
        batches(images=IMAGES[: SIZE - 1])


def test_batch_is_float32_and_has_a_static_shape():
    dataset = batches().from_step(0, 1)
    assert dataset.element_spec == tf.TensorSpec((SIZE, 2, 2, 1), tf.float32)


def test_only_the_images_of_a_batch_are_read():
    class Counting:
        """Images that count how many are read at a time."""

        taken = []

        def __len__(self):
            return COUNT

        def __getitem__(self, indices):
            self.taken.append(len(indices))
            return IMAGES[indices]

    order(batches(images=Counting()), 0, 4)
    assert set(Counting.taken) == {1, SIZE}  # One, for the shape.


def test_error_of_the_data_is_kept():
    class Broken:
        """Images of which only one at a time can be read."""

        def __len__(self):
            return COUNT

        def __getitem__(self, indices):
            if len(indices) > 1:
                raise UserError("7.png is broken")
            return IMAGES[indices]

    broken = batches(images=Broken())
    with pytest.raises(tf.errors.OpError):
        order(broken, 0, 1)
    assert str(broken.failure) == "7.png is broken"


@pytest.mark.parametrize(
    "scaling, stored, expected, unit",
    [
        ("unit", [0, 1, 255], [0, np.float32(1) / 255, 1], [0, 1 / 255, 1]),
        ("tanh", [0, 1, 255], [-1, np.float32(1) / np.float32(127.5) - 1, 1], [0, 1 / 255, 1]),
        ("binary", [0, 1, 1], [0, 1, 1], [0, 1, 1]),
        ("signed", [0, 1, 1], [-1, 1, 1], [0, 1, 1]),
    ],
)
def test_pixel_ranges(scaling, stored, expected, unit):
    scaled = scale(tf.constant(stored, tf.uint8), scaling)
    assert scaled.dtype == tf.float32
    np.testing.assert_array_equal(scaled, np.float32(expected))
    pixels = RANGES[scaling]
    assert (pixels.low, pixels.highest) == (expected[0], stored[-1])
    np.testing.assert_allclose(pixels.to_unit(scaled), unit, atol=1e-7)
    np.testing.assert_array_equal(pixels.to_uint8(scaled.numpy()), np.rint(np.multiply(unit, 255)))
    assert pixels.to_uint8(np.array([-7.0, 7.0])).tolist() == [0, 255]


def test_stored_pixels_survive_the_round_trip():
    stored = np.arange(256, dtype=np.uint8)
    for scaling in ("unit", "tanh"):
        np.testing.assert_array_equal(RANGES[scaling].to_uint8(scale(tf.constant(stored), scaling).numpy()), stored)


def test_synthetic_images_are_drawn_once_and_kept_up_to_a_limit(monkeypatch):
    drawn = []

    def images(indices):
        """Image i is black but for its pixel i, which is white."""
        drawn.extend(indices.tolist())
        return (np.eye(16, dtype=np.uint8)[indices] * 255).reshape(-1, 4, 4, 1).repeat(3, axis=-1)

    synthetic = SyntheticImages(types.SimpleNamespace(images=images), start=3, stop=9, crop=4, size=4)
    monkeypatch.setattr(SyntheticImages, "KEPT", 2 * 4 * 4 * 3)  # Two images.
    for indices in ([0, 5, 0, 1], [5, 1, 0]):
        got = synthetic[np.array(indices)]
        assert got[..., 0].reshape(-1, 16).argmax(axis=1).tolist() == [3 + i for i in indices]
        assert set(np.unique(got)) == {0, 255}
    assert drawn == [3, 8, 4, 4]


def test_subset_is_a_view_by_indices():
    subset = Subset(IMAGES, np.array([9, 3, 5]))
    assert len(subset) == 3
    np.testing.assert_array_equal(subset[np.array([2, 0])], IMAGES[[5, 9]])
    np.testing.assert_array_equal(Split(subset).take(1, 9), IMAGES[[3, 5]])
