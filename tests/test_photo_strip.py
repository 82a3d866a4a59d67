"""The strip of small photographs: one bordered cell for each, and how many have each verdict."""

from __future__ import annotations

import base64
import io

import browser  # noqa: F401  # viser, without its warnings
import numpy as np
import pytest
from PIL import Image

from point2act.visualization.viewer.markdown import Verdict
from point2act.visualization.viewer.photo_strip import COLUMNS, as_markdown, color_of, legend, shrunk, strip

VERDICTS: list[Verdict | None] = ["supports", "rejected", "compatible", None, "supports"]


def test_every_photograph_has_the_border_of_its_verdict():
    small = shrunk(np.full((300, 400, 3), 90, np.uint8))
    sheet = strip([small] * 5, VERDICTS, 1)
    width = sheet.shape[1] / COLUMNS
    for number, verdict in enumerate(VERDICTS):
        row, column = divmod(number, COLUMNS)
        corner = sheet[int(row * sheet.shape[0] / 2) + 2, int(column * width) + 2]
        assert tuple(corner) == color_of(verdict)


@pytest.mark.parametrize("shape", [(300, 400, 3), (400, 300, 3), (1, 900, 3), (20, 20, 3)])
def test_a_small_photograph_is_whole_and_not_enlarged(shape):
    small = shrunk(np.zeros(shape, np.uint8))
    assert max(small.shape) <= min(136, max(shape))
    assert strip([small], [None], 7).ndim == 3


def test_the_legend_counts_what_there_is():
    assert legend(VERDICTS) == (
        "green: agrees **2** · orange: disagrees **1** · blue: not visible **1** · grey: not asked **1**"
    )
    assert legend([]) == ""


def test_the_picture_is_in_the_text():
    picture = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    text = as_markdown(picture, "Photographs")
    assert text.startswith("![Photographs](data:image/jpeg;base64,")
    content = base64.b64decode(text.split(",")[1][:-1])
    assert Image.open(io.BytesIO(content)).size == (30, 20)
