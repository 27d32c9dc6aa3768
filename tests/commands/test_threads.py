"""Threads per operation: one for small images on two cores, unless the environment sets another number."""

import os

import pytest

from common import threads


@pytest.mark.parametrize(
    ("cores", "size", "expected"),
    [(2, 28, "1"), (1, 28, None), (3, 28, None), (16, 28, None), (2, 32, None), (2, 64, None)],
)
def test_small_images_on_two_cores_get_one_thread(cores, size, expected, make_config, monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: cores)
    threads.configure_threads(make_config(image_shape=(size, size, 1)))
    assert os.environ.get(threads.VARIABLE) == expected


def test_environment_takes_precedence(make_config, monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: 2)
    monkeypatch.setenv(threads.VARIABLE, "2")
    threads.configure_threads(make_config())
    assert os.environ[threads.VARIABLE] == "2"


@pytest.mark.parametrize(
    ("cores", "text", "expected"),
    [
        (2, "1", 2), (16, "4", 4), (16, "5", 3), (2, "2", 1), (2, "8", 1), (2, "0", 1), (2, "", 1), (2, "-1", 1),
        (2, "²", 1), (2, "one", 1),
    ],
)  # fmt: skip
def test_parallel_operations_fill_the_cores(cores, text, expected, monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: cores)
    assert threads.parallel_ops() == 1
    monkeypatch.setenv(threads.VARIABLE, text)
    assert threads.parallel_ops() == expected
