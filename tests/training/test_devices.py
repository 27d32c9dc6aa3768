"""Two virtual devices, and two processes on this machine, against one device with the global batch."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from common.io.atomic import write_json
from common.models import registry
from common.run_json import provenance, read_config
from common.training import devices
from common.training.checkpoints import Checkpoints
from helpers import replicas
from helpers.paths import ROOT, TESTS
from helpers.ports import free_ports
from helpers.systems import EVERY

TIMEOUT = 240  # Seconds. On a busy machine of two cores the processes need a minute.


def start(strategy, folder, runs, environment):
    """A process that trains `runs`, names in `folder`: of a configuration, a start, and an output folder."""
    paths = [str(folder / name) for config, start, out in runs for name in (f"{config}.json", start, out)]
    command = [sys.executable, str(TESTS / "helpers" / "replicas.py"), strategy, *paths]
    paths = {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, TESTS)))}
    return subprocess.Popen(
        command, env={**os.environ, **paths, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(processes):
    try:
        for process in processes:
            output = process.communicate(timeout=TIMEOUT)[0]
            assert process.returncode == 0, output[-4000:]
    finally:
        for process in processes:
            process.kill()


@pytest.fixture(scope="module")
def start_system(make_config):
    """A system at weights that no seed gives, at step 3."""
    # Adam's large epsilon keeps gradients that are zero but for rounding from becoming steps.
    system = registry.build(make_config(adam_epsilon=1e-3, sync_batch_norm=True, rim_multiplier=1.0))
    system.step.assign(3)
    system.networks["encoder"].get_layer("d_bn2").gamma.assign(tf.linspace(0.5, 1.5, 128))
    return system


@pytest.fixture(scope="module")
def runs(start_system, tmp_path_factory):
    """A folder of runs.

    "start"; one device's "alone"; two devices' "mirrored" and "apart" (not synchronised); two processes' "0" and "1".
    """
    folder = tmp_path_factory.mktemp("replicas")
    config = start_system.config
    for name, changes in (("joint", {}), ("apart", {"sync_batch_norm": False})):
        write_json(provenance(dataclasses.replace(config, **changes), "noise"), folder / f"{name}.json")
    (folder / "start").mkdir()
    Checkpoints(start_system, folder / "start", "a").save()
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    tasks = [json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": i}}) for i in range(2)]
    finish([start("auto", folder, [("joint", "start", str(i))], {"TF_CONFIG": task}) for i, task in enumerate(tasks)])
    finish([start("mirrored", folder, [("joint", "start", "mirrored"), ("apart", "start", "apart")], {})])
    alone = registry.build(config)
    Checkpoints(alone, folder / "start", "a").restore_latest()
    losses = replicas.train(alone)
    (folder / "alone").mkdir()
    Checkpoints(alone, folder / "alone", "a").save()
    write_json(losses, folder / "alone" / "losses.json")
    return folder


def losses_of(folder):
    losses = json.loads((folder / "losses.json").read_text())
    return {name: value for name, value in losses.items() if name.endswith("_loss")}


def state_of(folder, system):
    """What a checkpoint of whatever devices holds, by way of a system on one device."""
    Checkpoints(system, folder, "a").restore_latest()
    return {name: v.numpy().astype(np.float64) for name, v in system.state().items()}


@pytest.mark.parametrize("name", ["mirrored", "0", "1"])
def test_two_replicas_train_as_one_device_on_the_global_batch(runs, start_system, name):
    before, wanted, got = (state_of(runs / folder, start_system) for folder in ("start", "alone", name))
    for loss, value in losses_of(runs / "alone").items():
        np.testing.assert_allclose(losses_of(runs / name)[loss], value, rtol=1e-5, err_msg=loss)
    assert got["step"] == wanted["step"] == 3 + replicas.STEPS
    compared = 0
    for variable, value in wanted.items():
        change = np.linalg.norm(value - before[variable])
        if not variable.endswith("bias") and change:  # In front of a batch norm, a bias has no gradient but rounding.
            assert np.linalg.norm(got[variable] - value) <= 1e-3 * change, variable
            compared += 1
    assert compared > 100


SHARED = {  # Systems with a term that is not a mean over images; capacities are between the KLs of the two slices.
    "mixture": {},
    "betavae": {"beta_capacity": 0.0067, "capacity_steps": 1, "capacity_weight": 1e4},
    "jointvae": {"continuous_capacity": 0.000217, "capacity_steps": 1, "capacity_weight": 1e4},
    "infocatvae": {},  # It generates other numbers of images than it reads.
}


@pytest.fixture(scope="module")
def shared(make_config, tmp_path_factory):
    """A folder of runs of those systems: their configurations, starts "<name>", and two devices' "<name>-mirrored"."""
    folder = tmp_path_factory.mktemp("shared")
    for name, changes in SHARED.items():
        system = registry.build(make_config(**EVERY[name], **changes, adam_epsilon=1e-3))
        write_json(provenance(system.config, "noise"), folder / f"{name}.json")
        (folder / name).mkdir()
        Checkpoints(system, folder / name, "a").save()
    finish([start("mirrored", folder, [(name, name, f"{name}-mirrored") for name in SHARED], {})])
    return folder


@pytest.mark.parametrize("name", SHARED)
def test_two_replicas_have_the_terms_of_the_global_batch(shared, name):
    alone = registry.build(read_config(shared / f"{name}.json"))
    before = state_of(shared / name, alone)
    losses = replicas.train(alone)
    wanted = {variable: v.numpy().astype(np.float64) for variable, v in alone.state().items()}
    got = json.loads((shared / f"{name}-mirrored" / "losses.json").read_text())
    assert {loss: got[loss] for loss in losses} == pytest.approx(losses, rel=1e-5)
    for variable, value in state_of(shared / f"{name}-mirrored", alone).items():
        change = np.linalg.norm(wanted[variable] - before[variable])
        assert np.linalg.norm(value - wanted[variable]) <= 1e-3 * change, variable


def test_of_two_workers_one_is_the_chief(runs):
    assert [json.loads((runs / name / "losses.json").read_text())["chief"] for name in ("0", "1", "mirrored")] == [
        True,
        False,
        True,
    ]


def test_replicas_without_synchronisation_normalise_their_slices(runs, start_system):
    """The loss is the mean over the halves of the batch, each of which normalises alone."""
    state_of(runs / "start", start_system)
    size = start_system.config.batch_size
    images = next(iter(replicas.batches(start_system.config).from_step(3, 4)))
    random = start_system.sample_step(start_system.step, size)
    halves = []
    for part in (slice(0, size // 2), slice(size // 2, size)):
        own = tf.nest.map_structure(lambda values, part=part: None if values is None else values[part], random)
        fake, _ = start_system.generate_with_vjp(own.latents)
        halves.append(float(start_system.discriminator_pass(images[part], fake, own)[0]["d_loss"]))
    got = losses_of(runs / "apart")["d_loss"]
    np.testing.assert_allclose(got, np.mean(halves), rtol=1e-5)
    assert abs(got - losses_of(runs / "alone")["d_loss"]) > 1e-3


@pytest.mark.parametrize(("size", "fits"), [(8, True), (4, True), (2, False), (7, False)])
def test_batches_that_two_devices_cannot_share_are_refused(make_config, size, fits):
    if fits:
        return devices.require_divisible_batch(make_config(batch_size=size), 2)
    said = f"--batch-size must be a multiple of 2, at least 4, for 2 devices, got {size}"
    with pytest.raises(UserError, match=said):
        devices.require_divisible_batch(make_config(batch_size=size), 2)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', '{"cluster": {}}']
)
def test_a_wrong_tf_config_is_named(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    for name in ("auto", "multiworker"):
        with pytest.raises(UserError, match="TF_CONFIG must be like"):
            devices.open_strategy(name)


def test_one_device_needs_nothing(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    alone = devices.open_strategy(None)
    assert alone.num_replicas_in_sync == 1 and devices.is_chief(alone)
    with pytest.raises(UserError, match="needs the environment variable TF_CONFIG"):
        devices.open_strategy("multiworker")


@pytest.mark.parametrize("changes", [{"model": "infogan"}, EVERY["mixture"]], ids=["infogan", "mixture"])
def test_xla_gives_the_same_losses_within_rounding(make_config, changes):
    images = tf.random.stateless_uniform((8, 28, 28, 1), seed=[1, 2])
    losses = []
    for compiled in (False, True):
        system = registry.build(make_config(**changes))
        if compiled:
            system.compile_with_xla()
        step = tf.function(system.train_step)
        step(images)
        losses.append({name: float(value) for name, value in step(images).items()})
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
