"""The report in a browser, opened from disk: a slider moves the picture, at every width, in light and dark."""

import types

import numpy as np
import pytest
from PIL import Image

from common.config import LatentSpec
from common.evaluation.report.write import write_report
from common.evaluation_options import FigureSettings
from helpers import browser as chromium
from helpers.fake_system import fake_dataset, fake_system, grey
from helpers.paths import ROOT

pytestmark = pytest.mark.skipif(chromium.find() is None, reason=chromium.MISSING)

LIGHT = ROOT / "results" / "mnist" / "light" / "report.html"
SETTINGS = FigureSettings(draws=3, traversal_steps=5, grid_rows=2)
STATE = """(() => {
  const canvas = document.getElementById("shown"), {width, height} = canvas;
  const copy = Object.assign(document.createElement("canvas"), {width, height});
  const pixels = copy.getContext("2d", {willReadFrequently: true});  // Or Chromium warns.
  pixels.drawImage(canvas, 0, 0);
  return {
    says: document.getElementById("says").value,
    grey: pixels.getImageData(0, 0, width, height).data[4 * (width + 1)] / 255,
    picture: copy.toDataURL(),
    sliders: [...document.querySelectorAll("input[type=range]")].map((one) => Number(one.value)),
    spoken: [...document.querySelectorAll("input[type=range]")].map((one) => one.getAttribute("aria-valuetext")),
    wide: document.documentElement.scrollWidth > innerWidth,
    paper: getComputedStyle(document.body).backgroundColor,
  };
})()"""
READY = """new Promise((done) => {
  const wait = () => document.getElementById("says").value ? done() : setTimeout(wait, 10);
  wait();
})"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """One window for all tests of this file."""
    window = chromium.Browser(tmp_path_factory.mktemp("profile"))
    yield window
    window.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page with images of one brightness each, which tells category and codes."""
    folder, system = tmp_path_factory.mktemp("run"), fake_system(name="<b onclick=alert(1)>&amp;")
    (folder / "log.csv").write_text("epoch,a_loss_with_a_long_name_that_does_not_fit_on_a_telephone\n0,1\n1,0.5\n")
    statistics = types.SimpleNamespace(independent=lambda: system)
    return write_report(system, fake_dataset(), folder, str(folder), SETTINGS, statistics=statistics)


def opened(browser, path, **window):
    """The state of the page after it is opened in a window."""
    browser.open(path, **window)
    browser.run(READY)
    return browser.run(STATE)


def value(position):
    return SETTINGS.values[position]


def test_arrow_keys_move_one_code_and_its_picture(browser, page):
    before = opened(browser, page)
    codes = [value(position) for position in before["sliders"]]
    assert before["grey"] == pytest.approx(grey(0, codes), abs=0.02)
    browser.run("document.querySelectorAll('input[type=range]')[1].focus()")
    for key, code, position in (("End", 35, 4), ("Home", 36, 0), ("ArrowRight", 39, 1)):
        browser.press(key, code)
        after = browser.run(STATE)
        assert after["sliders"] == [before["sliders"][0], position, before["sliders"][2]]
        assert after["grey"] == pytest.approx(grey(0, [codes[0], value(position), codes[2]]), abs=0.02)
    assert after["picture"] != before["picture"] and after["says"] == "category 0, c1 = \u22120.50, sample 1"
    assert after["spoken"][1] == "c1 = \u22120.50"
    browser.run("document.querySelectorAll('input[type=range]')[0].focus()")
    browser.press("End", 35)
    assert browser.run(STATE)["sliders"] == [4, *before["sliders"][1:]]
    assert browser.errors == []


def test_clicks_choose_category_and_sample(browser, page):
    opened(browser, page)
    browser.run("document.querySelector('input[name=category][value=\"2\"]').closest('label').click()")
    browser.run("document.querySelector('input[name=sample][value=\"1\"]').closest('label').click()")
    after = browser.run(STATE)
    assert after["grey"] == pytest.approx(grey(2, [value(p) for p in after["sliders"]]), abs=0.02)
    assert after["says"].startswith("category 2, ") and after["says"].endswith(", sample 2")
    browser.run("document.querySelector('input[name=category]:checked').focus()")
    browser.press("ArrowRight", 39)
    assert browser.run(STATE)["says"].startswith("category 3, ") and browser.errors == []


@pytest.mark.parametrize("path", [None, LIGHT], ids=["made here", "committed"])
@pytest.mark.parametrize("width, dark", [(360, False), (1100, False), (1100, True)])
def test_a_page_fits_every_window_in_light_and_dark(browser, page, path, width, dark, tmp_path):
    state = opened(browser, path or page, width=width, dark=dark)
    assert not state["wide"] and state["paper"] == ("rgb(21, 23, 26)" if dark else "rgb(255, 255, 255)")
    browser.screenshot(tmp_path / "window.png")
    with Image.open(tmp_path / "window.png") as window:
        pixels = np.asarray(window.convert("L"))
    assert pixels.shape == (800, width) and (pixels.mean() < 100 if dark else pixels.mean() > 150)
    assert len(np.unique(pixels)) > 50 and browser.errors == []


def test_the_committed_report_moves(browser):
    before = opened(browser, LIGHT)
    browser.run("document.querySelector('input[type=range]').focus()")
    browser.press("End", 35)
    after = browser.run(STATE)
    assert after["says"].startswith("category 0, c0 = 1.00") and after["picture"] != before["picture"]


def test_a_page_without_codes_has_samples_to_choose(browser, tmp_path):
    system = fake_system(latent=LatentSpec(7, 0, 0))
    statistics = types.SimpleNamespace(independent=lambda: system)
    path = write_report(system, fake_dataset(), tmp_path, str(tmp_path), SETTINGS, statistics=statistics)
    assert opened(browser, path)["says"] == "sample 1"
    browser.run("document.querySelector('input[name=sample][value=\"2\"]').closest('label').click()")
    assert browser.run(STATE)["says"] == "sample 3" and browser.errors == []
