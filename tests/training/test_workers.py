"""Workers that wait for each other: what they say, that signals and time end it, and what is said of a lost one."""

import json
import os
import signal
import socket
import threading

import pytest
import tensorflow as tf

from common.errors import UserError
from common.training import workers
from common.training.signals import Stop, StopSignals
from helpers.ports import free_ports

pytestmark = pytest.mark.fast


@pytest.fixture
def ports():
    return free_ports(2)


@pytest.fixture
def cluster(ports, monkeypatch):
    """`cluster(index)`: two workers on this machine, as the one of that index."""

    def read(index):
        addresses = [f"localhost:{ports[0]}", f"127.0.0.1:{ports[1]}"]
        text = json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}})
        monkeypatch.setenv("TF_CONFIG", text)
        return workers.cluster_of("auto")

    return read


def test_the_chief_is_a_worker(monkeypatch):
    config = {"cluster": {"chief": ["[::1]:1"], "worker": ["b:2"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    cluster = workers.cluster_of("multiworker")
    assert list(map(str, cluster.workers)) == ["chief 0 (::1:1)", "worker 0 (b:2)"]
    assert cluster.own.port == 2 and cluster.others == cluster.workers[:1]


def test_a_worker_says_for_whom_it_waits_and_gives_up(cluster, ports, monkeypatch, caplog):
    caplog.set_level("INFO", "common")
    monkeypatch.setattr(workers, "PATIENCE", 0.0)
    said = rf"worker 1 \(127.0.0.1:{ports[1]}\) did not start within 0 s: start all workers of TF_CONFIG"
    with pytest.raises(UserError, match=said):
        workers.wait_for(cluster(0))
    assert f"worker 0 (localhost:{ports[0]}) waits for worker 1 (127.0.0.1:{ports[1]}), for at most 0 s" in caplog.text


def test_workers_find_each_other(cluster, monkeypatch):
    """The second sees the first and goes on; the first then sees the server that TensorFlow starts for the second."""
    monkeypatch.setattr(workers, "PATIENCE", 30.0)
    first, second = cluster(0), cluster(1)
    thread = threading.Thread(target=workers.wait_for, args=(first,), daemon=True)
    thread.start()
    workers.wait_for(second)
    with workers._listening(second.own):
        thread.join(30)
    assert not thread.is_alive()


def test_a_signal_ends_the_waiting(cluster, monkeypatch):
    monkeypatch.setattr(workers.time, "sleep", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Stop, match="SIGTERM"), StopSignals(at_once=True):
        workers.wait_for(cluster(0))


def test_a_port_in_use_is_named(cluster, ports):
    said = rf"port {ports[0]} of worker 0 \(localhost:{ports[0]}\) cannot be used \(Address already in use\): end what"
    with socket.create_server(("", ports[0])), pytest.raises(UserError, match=said):
        workers.wait_for(cluster(0))


@pytest.mark.parametrize(
    ("message", "who"),
    [
        ("Error reported from /job:worker/task:1: unhealthy", r"worker 1 \(127.0.0.1:\d+\)"),
        ("remote target /job:worker/replica:0/task:1 while", r"worker 1 \(127.0.0.1:\d+\)"),
        ("reset by peer", "another worker"),
    ],
)
def test_a_lost_worker_is_named_with_the_way_on(cluster, message, who):
    said = f"lost {who}: start all workers again, each with --resume auto; this one: .* --resume auto"
    with pytest.raises(UserError, match=said), workers.reporting_lost(cluster(0)):
        raise tf.errors.UnavailableError(None, None, message)


def test_other_errors_stay_as_they_are(cluster):
    for workers_, kind in ((cluster(0), tf.errors.ResourceExhaustedError), (None, tf.errors.UnavailableError)):
        with pytest.raises(kind), workers.reporting_lost(workers_):
            raise kind(None, None, "message")


def test_signals_end_the_process_while_tensorflow_waits():
    with workers.ended_by_signals():
        assert signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) != signal.SIG_DFL
