"""Configurations: what is refused, and how it is said."""

import dataclasses
import json

import pytest

from common.config import LatentSpec
from common.errors import UserError
from common.fields import flag_of
from common.models import registry

NAN, INFINITE = float("nan"), float("inf")
pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0), ("batch_size", 0), ("batch_size", 1), ("steps_per_epoch", 0), ("steps_per_epoch", -3),
        ("seed", -1), ("seed", 2**31), ("scaling", "tan"), ("precision", "float16"), ("batch_norm", "none"),
        ("image_shape", (0, 28, 1)), ("image_shape", (28, 28)),
        ("learning_rate", 0.0), ("learning_rate", -1e-4), ("learning_rate", NAN), ("learning_rate", INFINITE),
        ("generator_multiplier", 0.0), ("information_multiplier", -1.0), ("vae_multiplier", INFINITE),
        ("learning_rate_half_life", 0), ("learning_rate_hold", -1), ("categorical_kl_weight", -0.001),
        ("categorical_kl_weight", NAN), ("first_batch_norm", 1), ("encoder_shift", 1.5), ("width", "wide"),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_refused_by_the_name_of_its_flag(make_config, field, value):
    with pytest.raises(UserError) as error:
        make_config(**{field: value})
    assert str(error.value).startswith(f"--{field.replace('_', '-')} must be ")
    assert str(error.value).endswith(f", got {value}") and "\n" not in str(error.value)


def test_every_decay_and_dropout_rate_is_below_1():
    checked = []
    for kind in {spec.hyperparameters for spec in registry.specs()}:
        for field in dataclasses.fields(kind):
            if field.name.endswith(("beta1", "beta2")) or field.name == "dropout":
                with pytest.raises(UserError, match=f"^{flag_of(field)} must be below 1, got 1.0$"):
                    kind(**{field.name: 1.0})
                checked.append(field.name)
    assert {"adam_beta1", "adam_beta2", "discriminator_beta1", "discriminator_beta2", "dropout"} == set(checked)


@pytest.mark.parametrize(("field", "value"), [("noise", -1), ("categories", 1), ("continuous", 1 << 20)])
def test_a_latent_length_out_of_range_is_refused_by_its_flag(field, value):
    with pytest.raises(UserError, match=f"^--{field} must be .*, got {value}$"):
        dataclasses.replace(LatentSpec(), **{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 1), ("batch_size", 2), ("steps_per_epoch", 1), ("steps_per_epoch", None), ("seed", 0),
        ("seed", 2**31 - 1), ("categorical_kl_weight", 0.0), ("learning_rate_half_life", 1),
        ("latent", LatentSpec(0, 0, 0)),
    ],
)  # fmt: skip
def test_the_ends_of_the_ranges_are_allowed(make_config, field, value):
    config = make_config(**{field: value})
    assert getattr(config if hasattr(config, field) else config.hyper, field) == value


def test_dict_is_json_ready_and_complete(make_config):
    values = make_config().to_dict()
    assert json.loads(json.dumps(values)) == values
    assert values.keys() == {field.name for field in dataclasses.fields(make_config())}
    assert values["image_shape"] == [28, 28, 1]
    assert values["latent"] == {"noise": 7, "categories": 4, "continuous": 3}


def test_a_configuration_comes_back_from_its_values(make_config):
    """Every field other than its default, so that none can come back by luck."""
    config = make_config(
        variant="paper", batch_norm="moving", precision="bfloat16", sync_batch_norm=True, steps_per_epoch=3, seed=7,
        stages="separate", switch_step=3, penalty_weight=0.1, mutual_information=False, first_batch_norm=True,
        learning_rate=1 / 3, learning_rate_half_life=5, learning_rate_hold=9, image_shape=(64, 64, 3),
        latent=LatentSpec(5, 6, 8),
    )  # fmt: skip
    assert registry.config_from_plain(json.loads(json.dumps(config.to_dict()))) == config
