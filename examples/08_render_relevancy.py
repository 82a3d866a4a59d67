"""Render a query's relevancy from every view of a saved scene."""

from pathlib import Path

import numpy as np
import tyro
from PIL import Image

import point2act
from point2act.visualization.drawing import relevancy_picture


def main(run: Path, points: Path, output: Path, query: int = 0) -> None:
    """Write one image per view: the photograph in grey, the relevancy in colour."""
    session = point2act.open_run(run)
    answered = session.ask(points)
    name = answered.results[query].query.name
    values = session.relevancy(name)
    likely = np.count_nonzero(values > 0.5)
    print(f"{name}: {likely} of {len(values)} Gaussians belong to it more likely than not")
    output.mkdir(parents=True, exist_ok=True)
    for number, view in enumerate(session.views):
        rendered = session.render(view, relevancy=answered.relevancy)
        picture = relevancy_picture(view.rgb, rendered.relevancy[..., query])
        Image.fromarray(picture).save(output / f"{number:04}.png")


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
