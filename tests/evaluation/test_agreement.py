"""The scatter of agreement against accuracy, and their rank correlation."""

import math

import numpy as np
import pytest
from PIL import Image

from common.evaluation import agreement
from common.evaluation.figures.curves import scatter

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("pairs", "correlation"),
    [
        ([(1, 1), (2, 4), (3, 9)], 1),  # Any rising relation.
        ([(1, 3), (2, 2), (3, 1)], -1),
        ([(1, 1), (2, 3), (3, 2)], 0.5),  # 1 - 6 * (0 + 1 + 1) / (3 * 8).
        ([(1, 1), (1, 2), (2, 2)], 0.5),  # Ranks 1.5, 1.5, 3 and 1, 2.5, 2.5.
        ([(1, 1), (1, 2)], math.nan),
    ],
)
def test_rank_correlation(pairs, correlation):
    np.testing.assert_allclose(agreement.rank_correlation(pairs), correlation, atol=1e-12)


def test_every_epoch_of_every_log_is_a_point(tmp_path, capsys):
    for group, rows in {"a": "0,0.1,0.2\n1,0.5,\n2,0.3,0.4\n", "b": "0,0.9,0.8\n"}.items():
        log = tmp_path / group / "seed1" / "log.csv"
        log.parent.mkdir(parents=True)
        log.write_text("epoch,category_agreement,accuracy\n" + rows)
    logs = [str(tmp_path / group / "seed1" / "log.csv") for group in "ab"]
    assert agreement.main([*logs, "--out", str(tmp_path / "picture.png")]) == 0
    printed = capsys.readouterr().out
    assert "over 3 epochs: 1.000" in printed and "over 2 last epochs: 1.000" in printed
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.width > picture.height


@pytest.mark.parametrize("text", ["", "epoch,accuracy\n0,1\n", "epoch,accuracy,category_agreement\n0,nan,1\n"])
def test_a_log_without_both_is_refused(text, tmp_path, capsys):
    (tmp_path / "log.csv").write_text(text)
    assert agreement.main([str(tmp_path / "log.csv"), "--out", str(tmp_path / "p.png")]) == 2
    assert "log.csv" in capsys.readouterr().err and not (tmp_path / "p.png").exists()


def test_groups_have_their_own_colours_and_places():
    pixels = np.asarray(scatter("T", "x", {"low": [(0, 0), (0.1, 0.1)], "high": [(1, 1)]}))
    blue, orange = (np.argwhere((pixels == colour).all(axis=2)) for colour in ((31, 90, 166), (200, 90, 20)))
    panel = 2 * 340 - 20 + 4  # Its right edge; the key is further right.
    assert blue[blue[:, 1] < panel][:, 0].min() > orange[orange[:, 1] < panel][:, 0].max()
