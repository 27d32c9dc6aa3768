"""Configurations: what is refused and how it is said, names, and files that say what run they belong to."""

import dataclasses
import json

import pytest

from common import config as config_module
from common.config import LatentSpec, provenance, read_config, read_run, require_same_run
from common.errors import UserError
from common.io.atomic import write_json

pytestmark = pytest.mark.fast

NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("batch_size", 1),
        ("steps_per_epoch", 0),
        ("steps_per_epoch", -3),
        ("seed", -1),
        ("seed", 2**31),
        ("scaling", "tan"),
        ("learning_rate", 0.0),
        ("learning_rate", -1e-4),
        ("learning_rate", NAN),
        ("learning_rate", INFINITE),
        ("generator_multiplier", 0.0),
        ("generator_multiplier", NAN),
        ("information_multiplier", -1.0),
        ("vae_multiplier", INFINITE),
        ("learning_rate_half_life", 0),
        ("learning_rate_hold", -1),
        ("learning_rate_hold", 1),
        ("categorical_kl_weight", -0.001),
        ("categorical_kl_weight", NAN),
        ("categorical_kl_weight", INFINITE),
    ],
)
def test_a_value_out_of_range_is_refused_by_the_name_of_its_flag(make_config, field, value):
    with pytest.raises(UserError) as error:
        make_config(**{field: value})
    assert str(error.value).startswith(field.replace("_", "-") + " must be ")
    assert str(error.value).endswith(f"; got {value}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("field", "value"), [("noise", 0), ("categories", 1), ("continuous", 0)])
def test_a_latent_length_out_of_range_is_refused_by_its_name(make_config, field, value):
    latent = dataclasses.replace(LatentSpec(), **{field: value})
    with pytest.raises(UserError, match=f"^{field} must be at least {value + 1}; got {value}$"):
        make_config(latent=latent)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 1),
        ("batch_size", 2),
        ("steps_per_epoch", 1),
        ("steps_per_epoch", None),
        ("seed", 0),
        ("seed", 2**31 - 1),
        ("categorical_kl_weight", 0.0),
        ("learning_rate_half_life", 1),
        ("latent", LatentSpec(1, 2, 1)),
    ],
)
def test_the_ends_of_the_ranges_are_allowed(make_config, field, value):
    assert getattr(make_config(**{field: value}), field) == value


def test_the_code_has_the_categories_and_the_continuous_values():
    assert LatentSpec(noise=100, categories=10, continuous=2).code == 12


@pytest.mark.parametrize(
    ("model", "variant", "system"),
    [("infovaegan", "code", "infovaegan"), ("infovaegan", "paper", "infovaegan_paper"), ("infogan", "code", "infogan")],
)
def test_the_system_is_the_model_and_its_variant(make_config, model, variant, system):
    assert make_config(model=model, variant=variant).system == system


def test_dict_is_json_ready_and_complete(make_config):
    settings = make_config().to_dict()
    assert json.loads(json.dumps(settings)) == settings
    assert settings.keys() == {field.name for field in dataclasses.fields(make_config())}
    assert settings["image_shape"] == [28, 28, 1]
    assert settings["latent"] == {"noise": 7, "categories": 4, "continuous": 3}


def test_a_configuration_comes_back_from_its_file(make_config, tmp_path):
    """Every field other than its default, so that none can come back by luck."""
    config = make_config(
        model="infogan",
        variant="paper",
        batch_norm="moving",
        steps_per_epoch=3,
        seed=7,
        first_batch_norm=True,
        mutual_information=False,
        settings={"stages": "separate", "switch_step": 3, "penalty_weight": 0.1},
        learning_rate=1 / 3,
        learning_rate_half_life=5,
        learning_rate_hold=9,
        image_shape=(64, 64, 3),
        latent=LatentSpec(5, 6, 8),
    )
    write_json(provenance(config, "some data"), tmp_path / "run.json")
    assert read_config(tmp_path / "run.json") == config
    assert read_run(tmp_path / "run.json") == {"config": config.to_dict(), "data": "some data", "start": None}


def test_provenance_names_configuration_data_and_versions(make_config):
    result = provenance(make_config(), "some data")
    assert result["config"] == make_config().to_dict()
    assert result["data"] == "some data"
    assert result["versions"].keys() == {"python", *config_module.PACKAGES}
    assert all(version[0].isdigit() for version in result["versions"].values())


def test_a_package_that_is_absent_is_said_to_be(monkeypatch):
    monkeypatch.setattr(config_module, "PACKAGES", ("no-such-package-of-ours",))
    assert config_module.package_versions()["no-such-package-of-ours"] == "not installed"


@pytest.fixture
def run_file(make_config, tmp_path):
    """The file of a run of `make_config()` on "digits"."""
    write_json(provenance(make_config(), "digits"), tmp_path / "run.json")
    return tmp_path / "run.json"


def test_the_same_run_may_go_on_for_longer(make_config, run_file):
    require_same_run(make_config(), "digits", run_file, 70)
    require_same_run(make_config(epochs=20, steps_per_epoch=5), "digits", run_file, 70)


@pytest.mark.parametrize(
    ("field", "saved", "wanted"),
    [
        ("seed", 0, 1),
        ("batch_size", 8, 16),
        ("learning_rate", 2e-4, 1e-4),
        ("image_shape", [28, 28, 1], [32, 32, 3]),
        ("batch_norm", "batch", "moving"),
        ("variant", "code", "paper"),
        ("first_batch_norm", False, True),
        ("learning_rate_half_life", None, 500),
    ],
)
def test_another_run_is_refused_with_both_values(make_config, run_file, field, saved, wanted):
    changed = tuple(wanted) if isinstance(wanted, list) else wanted
    with pytest.raises(UserError) as error:
        require_same_run(make_config(**{field: changed}), "digits", run_file, 1)
    assert f"{field} was {saved} in the saved run and is {wanted} now" in str(error.value)
    assert str(run_file) in str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"learning_rate_half_life": 500, "learning_rate_hold": 40},
            "learning_rate_half_life was None in the saved run and is 500 now",
        ),
        (
            {"settings": {"encoder_shift": 2, "encoder_shift_after": 40}},
            "settings was {.*: 0} in the saved run and is {.*: 40} now",
        ),
    ],
)
def test_what_a_run_does_without_may_be_set_to_begin_later(make_config, run_file, changes, said):
    require_same_run(make_config(**changes), "digits", run_file, 40)
    with pytest.raises(UserError, match=said):
        require_same_run(make_config(**changes), "digits", run_file, 41)
    with pytest.raises(UserError, match="seed was 0 in the saved run and is 1 now"):
        require_same_run(make_config(**changes, seed=1), "digits", run_file, 40)


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rate_half_life": 500, "learning_rate_hold": 40},
        {"settings": {"encoder_shift": 2, "encoder_shift_after": 40}},
    ],
)
def test_what_was_set_to_begin_later_stays_so(make_config, run_file, changes):
    write_json(provenance(make_config(**changes), "digits"), run_file)
    with pytest.raises(UserError, match="cannot resume: "):
        require_same_run(make_config(), "digits", run_file, 0)


def test_other_latents_are_another_run(make_config, run_file):
    with pytest.raises(UserError, match="latent was .*'continuous': 3.* and is .*'continuous': 2"):
        require_same_run(make_config(latent=LatentSpec(7, 4, 2)), "digits", run_file, 1)


def test_other_data_are_another_run(make_config, run_file):
    with pytest.raises(UserError, match="data was digits in the saved run and is letters now"):
        require_same_run(make_config(), "letters", run_file, 1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"3",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"config": {}}',
        b'{"data": ""}',
        b'{"config": 3, "data": ""}',
        b'{"config": "ab", "data": ""}',
        b'{"config": [1, 2], "data": ""}',
    ],
    ids=[
        "empty",
        "cut off",
        "list",
        "null",
        "number",
        "not text",
        "deep",
        "no data",
        "no config",
        "config 3",
        "config ab",
        "config list",
    ],
)
def test_a_damaged_run_file_is_the_users_to_mend(make_config, tmp_path, content):
    file = tmp_path / "run.json"
    file.write_bytes(content)
    for read in (read_run, read_config, lambda path: require_same_run(make_config(), "digits", path, 1)):
        with pytest.raises(UserError, match="is damaged") as error:
            read(file)
        assert str(file) in str(error.value)
        assert "\n" not in str(error.value)


def test_a_missing_run_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(UserError, match="run.json is missing"):
        read_run(tmp_path / "run.json")


@pytest.mark.parametrize(
    "changes",
    [
        {"latent": None},
        {"latent": {"noise": 3, "colours": 2}},
        {"image_shape": None},
        {"momentum": 0.9},
        {"epochs": "two"},
        {"settings": None},
        {"settings": "ab"},
        {"settings": [1, 2]},
    ],
)
def test_a_run_file_of_another_version_is_said_to_be(make_config, tmp_path, changes):
    write_json({"config": {**make_config().to_dict(), **changes}, "data": "digits"}, tmp_path / "run.json")
    with pytest.raises(UserError, match="run.json is .*of another version"):
        read_config(tmp_path / "run.json")


@pytest.mark.parametrize("field", ["settings", "mutual_information"])
def test_runs_from_before_a_field_was_added_are_read_and_go_on(make_config, tmp_path, field):
    settings = make_config().to_dict()
    del settings[field]
    write_json({"config": settings, "data": "digits"}, tmp_path / "run.json")
    assert read_config(tmp_path / "run.json") == make_config()
    require_same_run(make_config(), "digits", tmp_path / "run.json", 1)
    with pytest.raises(UserError, match=f"{field} was "):
        require_same_run(
            make_config(**{field: {"critic_steps": 3} if field == "settings" else False}),
            "digits",
            tmp_path / "run.json",
            1,
        )


def test_other_settings_of_its_own_are_another_run(make_config, tmp_path):
    write_json(provenance(make_config(variant="paper", settings={"critic_steps": 5}), "digits"), tmp_path / "run.json")
    with pytest.raises(UserError, match="settings was {'critic_steps': 5} .* and is {'critic_steps': 3}"):
        require_same_run(make_config(variant="paper", settings={"critic_steps": 3}), "digits", tmp_path / "run.json", 1)


def test_settings_are_a_copy(make_config):
    given = {"critic_steps": 5}
    config = make_config(settings=given)
    given["critic_steps"] = 3
    assert config.settings == {"critic_steps": 5}


@pytest.mark.parametrize("saved", [{}, {"encoder_shift": 0, "encoder_shift_after": 0}])
def test_a_run_from_before_a_model_had_all_its_settings_goes_on_with_their_defaults(make_config, tmp_path, saved):
    without = {"encoder_shift": 0, "encoder_shear": 0.0, "encoder_stretch": 0.0, "encoder_shift_after": 0}
    write_json({"config": {**make_config().to_dict(), "settings": saved}, "data": "digits"}, tmp_path / "run.json")
    require_same_run(make_config(settings=without), "digits", tmp_path / "run.json", 1)
    with pytest.raises(
        UserError, match="settings was {'encoder_shift': 0, .* in the saved run and is {'encoder_shift': 2, .* now"
    ):
        require_same_run(make_config(settings={**without, "encoder_shift": 2}), "digits", tmp_path / "run.json", 1)


def test_a_field_that_the_saved_run_did_not_have_is_another_run(make_config, tmp_path):
    settings = make_config().to_dict()
    del settings["batch_norm"]
    write_json({"config": settings, "data": "digits"}, tmp_path / "run.json")
    with pytest.raises(UserError, match="batch_norm was None in the saved run and is batch now"):
        require_same_run(make_config(), "digits", tmp_path / "run.json", 1)
