"""`--smoke` of every script."""

import re

import pytest
from scripts import run


@pytest.mark.parametrize("script", ["MNIST", "3DChairs", "CelebA", "dSprites"])
def test_smoke(script, tmp_path):
    process = run(f"InfoVAE_{script}.py", "--smoke", home=tmp_path)
    assert process.returncode == 0, process.stderr
    assert re.search(rf"^PASS: data, training, checkpoint, resume, evaluation and figures of InfoVAE_{script}-synthetic work here", process.stdout, re.MULTILINE)
