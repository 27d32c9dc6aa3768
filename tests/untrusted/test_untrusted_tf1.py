"""The original's checkpoints, damaged: with wrong checksums, as accidents leave them, and with right ones, as malice
does.
"""

import pathlib
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from common.models.adversarial import AdversarialSystem
from common.tf1 import checkpoints as tf1_checkpoints
from common.training.checkpoint_index import read_index
from helpers import mutations
from helpers.mutations import MUTANTS, survey
from helpers.systems import make_config

VALUES = {
    "encoder/e_mean/Matrix": np.arange(12, dtype=np.float32).reshape(3, 4),
    "encoder/e_mean/bias": np.arange(4, dtype=np.float32),
}


@pytest.fixture(scope="module")
def system():
    """One layer without an optimizer: what `tf1` needs of a system."""
    inputs = keras.Input((3,))
    made = types.SimpleNamespace(
        networks={"encoder": keras.Model(inputs, keras.layers.Dense(4, name="e_mean")(inputs))},
        optimizers={},
        config=make_config(),
        step=keras.Variable(0, dtype="int64"),
        TF1_SCOPES=AdversarialSystem.TF1_SCOPES,
    )
    made.tf1_name = types.MethodType(AdversarialSystem.tf1_name, made)
    return made


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Index and data of a checkpoint that holds VALUES."""
    prefix = str(tmp_path_factory.mktemp("tf1") / "whole")
    tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=list(VALUES), shape_and_slices=[""] * len(VALUES), tensors=list(VALUES.values())
    )
    return pathlib.Path(f"{prefix}.index").read_bytes(), pathlib.Path(f"{prefix}.data-00000-of-00001").read_bytes()


def feed(system, tmp_path, mutants):
    """Loads (index, data) after (index, data); what is taken must be VALUES, and what is refused must have changed
    nothing.
    """
    prefix, variables = tmp_path / "mutant", tf1_checkpoints.all_variables(system)

    def read(mutant):
        prefix.with_name("mutant.index").write_bytes(mutant[0])
        prefix.with_name("mutant.data-00000-of-00001").write_bytes(mutant[1])
        for v in variables.values():
            v.assign(np.full(v.shape, -1, np.float32))
        try:
            tf1_checkpoints.load(system, str(prefix))
        except UserError:
            assert all((v.numpy() == -1).all() for v in variables.values())
            raise
        assert all((v.numpy() == VALUES[name]).all() for name, v in variables.items())

    return survey(read, mutants)


def test_accidents(system, whole, tmp_path):
    index, data = whole
    random = np.random.RandomState(0)
    counts = feed(
        system,
        tmp_path,
        (
            (mutations.blind(random, index), data) if i % 2 else (index, mutations.blind(random, data))
            for i in range(MUTANTS)
        ),
    )
    assert counts["refused"] > MUTANTS // 2  # Taken is what was repeated onto itself, or added where nothing is read.


def test_malice(system, whole, tmp_path):
    """A third of these end the process when TensorFlow is the first to read them."""
    index, data = whole
    block = next(
        n for n in range(len(index)) if index[n + 1 : n + 5] == mutations.masked_crc(index[: n + 1])
    )  # Its length; a byte 0 and its checksum follow.
    random = np.random.RandomState(0)

    def mutant():
        changed = bytearray(index)
        for _ in range(random.randint(1, 4)):
            at = random.randint(block)
            changed[at] = (
                changed[at] ^ 1 << random.randint(8)
                if random.rand() < 0.5
                else mutations.choice(random, (0, 1, 2, 5, 7, 0x12, 0x7F, 0x80, 0xFF))
            )
        changed[block + 1 : block + 5] = mutations.masked_crc(bytes(changed[: block + 1]))
        return bytes(changed), data

    assert feed(system, tmp_path, (mutant() for _ in range(MUTANTS)))["refused"] > MUTANTS // 2


def test_the_index_is_what_tensorflow_reads(whole, system, tmp_path):
    """Also of more names than a block holds."""
    values = {f"scope/{i:04d}/w": np.zeros((i % 5, 2), np.float32) for i in range(900)} | {
        "step": np.int64(1),
        "text": np.array(b"abc"),
    }
    prefix = str(tmp_path / "many")
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=list(values),
        shape_and_slices=[""] * len(values),
        tensors=[tf.constant(v) for v in values.values()],
    )
    reader = tf.train.load_checkpoint(prefix)
    found = read_index(prefix)
    assert {name: shape for name, (shape, _) in found.items()} == reader.get_variable_to_shape_map()
    assert {name: tf.as_dtype(dtype) for name, (_, dtype) in found.items()} == reader.get_variable_to_dtype_map()


def test_another_type_is_refused_before_it_is_read(system, tmp_path):
    prefix = str(tmp_path / "wide")
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=list(VALUES),
        shape_and_slices=[""] * 2,
        tensors=[v.astype(np.float64) for v in VALUES.values()],
    )
    with pytest.raises(UserError, match="is float64, should be float32"):
        tf1_checkpoints.load(system, prefix)
