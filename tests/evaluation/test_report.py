"""The report: what its pictures show, what it says of what it cannot show, and that no text of a run becomes HTML."""

import dataclasses
import json
import re
import types
import urllib.parse

import numpy as np
import pytest

from common.config import LatentSpec
from common.data.dataset import Factor
from common.errors import UserError
from common.evaluation.report import charts, explanations, explore, markup, saved, sections
from common.evaluation.report.write import write_report
from common.evaluation_options import QUICK_FIGURES, FigureSettings
from common.nn.distributions import Latents
from helpers import mutations
from helpers.fake_system import fake_dataset, fake_system
from helpers.page import Page
from helpers.paths import ROOT
from helpers.systems import make_config

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\ud800\u202e</style>{}$title"


def written(folder, system, dataset=None, settings=QUICK_FIGURES, **changes):
    """The page of a system without checkpoints."""
    dataset = dataset or fake_dataset()
    path = write_report(system, dataset, folder, str(folder), settings, **changes)
    assert path.stat().st_size < 10_000_000
    return Page(path.read_text(encoding="utf-8"))


@pytest.mark.fast
def test_text_is_escaped_and_html_is_not_escaped_twice():
    made = markup.element("a", HOSTILE, markup.element("b", 1 < 2), title=HOSTILE, hidden=True, alt=None)
    page = Page(made)
    assert page.elements == [("a", {"title": HOSTILE, "hidden": None}), ("b", {})]
    assert page.text == f"{HOSTILE}True"


@pytest.mark.fast
def test_a_code_takes_its_values_in_each_category():
    latents = Latents(np.array([[7.0]]), np.zeros((1, 3)), np.array([[0.4, -0.9, 0.3]]))
    made, own = explore.strips(latents, explore.Plan(2, [0, 1], [-1.0, 0.0, 1.0]))
    assert own == [1, 0]
    np.testing.assert_array_equal(made.noise, np.full((12, 1), 7.0))
    np.testing.assert_array_equal(made.category, np.eye(3)[:2].repeat(6, axis=0))
    codes = [[-1, -1], [0, -1], [1, -1], [0, -1], [0, 0], [0, 1]]
    np.testing.assert_array_equal(made.continuous[:, :2], codes * 2)
    np.testing.assert_array_equal(made.continuous[:, 2], [0.3] * 12)


@pytest.mark.fast
@pytest.mark.parametrize("categories, codes, wanted", [(0, [], (1, 0)), (2, [], (2, 0)), (0, [0], (3, 1))])
def test_strips_without_categories_or_codes(categories, codes, wanted):
    latents = Latents(np.zeros((1, 1)), np.zeros((1, categories)), np.zeros((1, len(codes))))
    made, own = explore.strips(latents, explore.Plan(categories, codes, [-1.0, 0.0, 1.0]))
    assert (len(made.noise), len(own)) == wanted


@pytest.mark.fast
@pytest.mark.parametrize(
    "latent, categories, codes",
    [
        (LatentSpec(5, 10, 10), 10, 10),
        (LatentSpec(0, 4, 256), 4, 25),
        (LatentSpec(5, 200, 3), 100, 1),
        (LatentSpec(0, 0, 200), 0, 100),
    ],
)
def test_a_plan_has_at_most_1100_images(latent, categories, codes):
    system = types.SimpleNamespace(config=make_config(latent=latent))
    plan = explore.Plan.of(system, FigureSettings())
    assert (plan.categories, plan.codes) == (categories, list(range(codes)))
    assert max(1, categories) * codes * len(plan.values) <= explore.MAX_IMAGES == 1100


@pytest.mark.fast
def test_a_sheet_is_nearly_square_and_row_by_row():
    cells = explore.sheet(np.arange(1, 8).reshape(7, 1, 1, 1))[..., 0, 0, 0]
    np.testing.assert_array_equal(cells, [[1, 2, 3], [4, 5, 6], [7, 0, 0]])


@pytest.mark.fast
def test_samples_are_left_out_that_do_not_fit(monkeypatch):
    system = fake_system()
    whole = Page(explore.explorer(system, FigureSettings(draws=4)))
    assert len([one for one in whole.all("img") if one["class"] == "sheet"]) == 4
    one = len(next(one["src"] for one in whole.all("img")))
    monkeypatch.setattr(explore, "_MAX_BYTES", 2 * one + one // 2)
    page = Page(explore.explorer(system, FigureSettings(draws=4)))
    assert len(page.all("img")) == 2 and "shown are 2 of 4 samples" in page.text


@pytest.mark.fast
def test_a_curve_has_gaps_where_values_are_missing():
    page = Page(charts.curve("step", [0, 1, 2, 3], "loss", [1.0, 2.0, float("nan"), 4.0]))
    (path,) = [one["d"] for one in page.all("path") if one["class"] == "curve"]
    assert re.sub(r"[\d. ]+", " ", path) == "M h L M h "
    assert page.all("svg")[0]["aria-label"] == "loss over step 0 to 3: between 1 and 4, at the end 4"
    assert "no values" in Page(charts.curve("step", [0], "loss", [float("inf")])).text


@pytest.mark.fast
def test_a_long_curve_keeps_both_ends():
    page = Page(charts.curve("step", range(10_000), "loss", range(10_000)))
    (path,) = [one["d"] for one in page.all("path") if one["class"] == "curve"]
    points = re.findall(r"[ML]([\d.]+) ([\d.]+)", path)
    assert len(points) <= 401 and points[0] == ("52.0", "128.0") and points[-1] == ("292.0", "8.0")


@pytest.mark.fast
def test_every_documented_metric_is_explained():
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[a-z_]+`(?:, `[a-z_]+`)*) \|", text.split("## Clustering")[1], re.MULTILINE)
    names = re.findall(r"`(\w+)`", " ".join(rows))
    assert {"accuracy", "fid_classifier", "log_likelihood_bound"} <= set(names)
    for name in [*names, "accuracy_moving_statistics", "mig_continuous", "kid_keras_floor_standard_error"]:
        assert explanations.explain(name).endswith("."), name
    assert explanations.explain("unheard_of_floor") == ""


@pytest.mark.fast
@pytest.mark.parametrize(
    "text, wanted",
    [
        ("epoch,loss\n0,1\n1,0.5\n", ("step", [7, 14], {"loss": [1, 0.5]})),
        ("epoch,loss\n0,1\n", ("epoch", [0], {"loss": [1]})),
        ("epoch,step,loss\n0,3,1\n1,7,2\n", ("step", [3, 7], {"loss": [1, 2]})),
        ("epoch,loss\n", "log.csv has no values yet"),
        ("epoch,loss\n1,1\n0,2\n", "log.csv is damaged: its column epoch does not rise"),
    ],
)
def test_a_log_becomes_curves_over_steps(text, wanted, tmp_path):
    (tmp_path / "log.csv").write_text(text)
    assert saved.read_curves(tmp_path / "log.csv", step=14, steps_per_epoch=7) == wanted


@pytest.mark.fast
def test_metrics_of_the_shown_step_are_preferred(tmp_path):
    assert "the command evaluate measures it" in saved.read_measured(tmp_path, 5)
    (tmp_path / "metrics.json").write_text('{"metrics": {"a": 1, "b": NaN}, "step": 4}')
    assert saved.read_measured(tmp_path, 5).metrics == {"a": 1.0}
    (tmp_path / "metrics-quick.json").write_text('{"metrics": {"a": 2}, "step": 5, "quick": true}')
    assert saved.read_measured(tmp_path, 5).quick and not saved.read_measured(tmp_path, 4).quick


MEASURED = {
    "metrics": {"accuracy": 0.5, "mig": 0.25},
    "skipped": {"sap": "a reason", "fid_keras": "another"},
    "tables": {"confusion": [[3, 1, 0], [0, 4, 2]], "category_labels": [1, 0]},
    "step": 0,
    "config": {"seed": 0},
    "quick": False,
}


def test_any_metrics_file_gives_a_page(tmp_path):
    system, random, shown = fake_system(), np.random.RandomState(0), []

    def read(mutant):
        (tmp_path / "metrics.json").write_bytes(mutant)
        measured = saved.read_measured(tmp_path, 0)
        assert "has not been evaluated" in measured if isinstance(measured, str) else measured.metrics is not None
        shown.append(not isinstance(measured, str))
        Page(sections_of(measured, system))

    mutations.survey(read, (mutations.json_mutant(random, MEASURED) for _ in range(300)))
    assert 20 < sum(shown) < 280


@pytest.mark.parametrize(
    ("changes", "note"), [({}, ""), ({"step": 7}, "at step 7"), ({"config": {"seed": 3}}, "of seed 3")]
)
def test_only_measures_of_the_same_networks_name_categories(tmp_path, changes, note):
    system, dataset = fake_system(), fake_dataset()
    (tmp_path / "metrics.json").write_text(json.dumps({**MEASURED, **changes}))
    measured = saved.read_measured(tmp_path, 0)
    assert sections.category_names(measured, dataset, system.config, 0) == ([] if note else ["left 1", "left 0"])
    page = Page(sections_of(measured, system))
    assert ("These were measured" in page.text, note in page.text) == (bool(note), True)


def sections_of(measured, system):
    dataset, config = fake_dataset(), system.config
    names = sections.category_names(measured, dataset, config, 0)
    parts = sections.metrics(measured, config, 0), sections.confusion(measured, dataset), *names
    return markup.join(*(sections.section("x", "y", part) for part in parts))


def test_images_do_not_depend_on_their_batch(tmp_path):
    system, asked = fake_system(), []
    statistics = types.SimpleNamespace(independent=lambda: asked.append("independent") or system)
    for settings in (FigureSettings(draws=1, traversal_steps=2), QUICK_FIGURES):
        page = written(tmp_path, system, settings=settings, statistics=statistics)
    assert asked == ["independent"] * 2 and "A quick report" in page.text


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A page of a run whose every text is hostile."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "javascript:alert(3)").touch()
    (folder / "a\"'><script>alert(4)<!-- \udcff").touch()
    factors = Factor(HOSTILE, (HOSTILE, 1)), Factor("b", (0, 1))
    dataset = dataclasses.replace(fake_dataset(), source=HOSTILE, label=HOSTILE, factors=factors)
    measured = {**MEASURED, "metrics": {HOSTILE: 1, "accuracy": 2}, "skipped": {HOSTILE: HOSTILE}}
    (folder / "metrics.json").write_text(json.dumps(measured))
    described = {"data": HOSTILE, "versions": {HOSTILE: HOSTILE}, "note": HOSTILE, "session": HOSTILE}
    (folder / "run.json").write_text(json.dumps(described))
    (folder / "log.csv").write_text(f'epoch,"{HOSTILE.replace(chr(34), 2 * chr(34))}"\n0,1\n'.replace("\ud800", ""))
    system = fake_system(name=HOSTILE)
    return folder, written(folder, system, dataset, statistics=types.SimpleNamespace(independent=lambda: system))


def test_hostile_text_stays_text(hostile):
    _, page = hostile
    assert len(page.all("script")) == len(page.all("style")) == 1
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert page.text.count("<script>alert(1)</script>") > 10 and "alert(2)" in page.text
    assert all(one["src"].startswith("data:image/") for one in page.all("img"))


def test_links_lead_to_the_files_of_the_run(hostile):
    folder, page = hostile
    links = [one["href"] for one in page.all("a")]
    files = {urllib.parse.unquote(link, errors="surrogateescape")[2:] for link in links if not link.startswith("#")}
    assert files == {path.name for path in folder.iterdir()} - {"report.html"}
    assert {link[1:] for link in links if link.startswith("#")} == {one["id"] for one in page.all("section")}


def test_a_page_is_whole_without_a_network(hostile):
    folder, page = hostile
    policy = next(one["content"] for one in page.all("meta") if "content" in one and "http-equiv" in one)
    assert policy.startswith("default-src 'none'; img-src data:;") and "unsafe-inline'; script-src 'sha256-" in policy
    assert not page.all("link") and all(one.get("src") is None for one in page.all("script"))
    assert "http" not in re.sub(r"http-equiv", "", (folder / "report.html").read_text(encoding="utf-8"))


def test_pictures_and_controls_have_names(hostile):
    _, page = hostile
    assert all(one["alt"] or one["class"] == "sheet" for one in page.all("img"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(one.get("aria-hidden") or one["aria-labelledby"] in ids for one in page.all("canvas"))


@pytest.mark.parametrize(
    "changes, words",
    [({"codes": (3,)}, "--codes must be below 3"), ({"traversal_steps": 102}, "--traversal-steps must be at most 101")],
)
def test_what_cannot_be_shown_is_refused(changes, words, tmp_path):
    with pytest.raises(UserError, match=words):
        write_report(fake_system(), fake_dataset(), tmp_path, "c", FigureSettings(**changes))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["mnist", "3dchairs", "celeba", "dsprites"])
def test_a_committed_report_is_small_and_leads_to_files(name):
    path = ROOT / "results" / name / "light" / "report.html"
    page = Page(path.read_text(encoding="utf-8"))
    assert path.stat().st_size < 1_500_000
    assert all((path.parent / one["href"]).is_file() for one in page.all("a") if one["href"].startswith("./"))
