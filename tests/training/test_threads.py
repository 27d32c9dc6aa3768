"""Threads an operation: one for small networks on two cores; what the environment says stands."""

import os

import pytest

from common.training import threads

pytestmark = pytest.mark.fast


def on(cores, monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: cores)


@pytest.mark.parametrize(
    ("cores", "size", "wanted"),
    [(2, 28, "1"), (1, 28, None), (3, 28, None), (16, 28, None), (2, 32, None), (2, 64, None)],
)
def test_one_thread_an_operation_for_small_images_on_two_cores(cores, size, wanted, make_config, monkeypatch):
    on(cores, monkeypatch)
    threads.suit(make_config(image_shape=(size, size, 1)))
    assert os.environ.get(threads.VARIABLE) == wanted


def test_the_environment_goes_first(make_config, monkeypatch):
    on(2, monkeypatch)
    monkeypatch.setenv(threads.VARIABLE, "2")
    threads.suit(make_config())
    assert os.environ[threads.VARIABLE] == "2"


@pytest.mark.parametrize(
    ("cores", "text", "wanted"),
    [
        (2, "1", 2),
        (16, "4", 4),
        (16, "5", 3),
        (2, "2", 1),
        (2, "8", 1),
        (2, "0", 1),
        (2, "", 1),
        (2, "-1", 1),
        (2, "²", 1),
        (2, "one", 1),
        (2, None, 1),
    ],
)
def test_as_many_operations_side_by_side_as_the_cores_hold(cores, text, wanted, monkeypatch):
    on(cores, monkeypatch)
    if text is not None:
        monkeypatch.setenv(threads.VARIABLE, text)
    assert threads.side_by_side() == wanted
