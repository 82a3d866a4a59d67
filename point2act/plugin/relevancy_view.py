"""One query's relevancy over the picture, and the controls that nerfstudio's viewer has for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import matplotlib
import torch
from jaxtyping import Float
from nerfstudio.utils.rich_utils import CONSOLE
from nerfstudio.viewer.viewer_elements import ViewerButton, ViewerDropdown, ViewerElement, ViewerSlider
from torch import Tensor
from torch.nn.functional import embedding
from viser import GuiMarkdownHandle, ViserServer

from point2act.core.errors import Point2ActError
from point2act.core.types import Query

_NO_QUERY = "none yet"
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


def overlay(
    rgb: Float[Tensor, "h w 3"], relevancy: Float[Tensor, "h w"], share: float, colors: Float[Tensor, "n 3"]
) -> Float[Tensor, "h w 3"]:
    """Blend relevancy in colour, on a dim grey copy of the image as reports draw it, into the image.

    Args:
        rgb: The image, in [0, 1].
        relevancy: Relevancy per pixel, clipped to [0, 1].
        share: Weight of the relevancy's colours: 0 returns the image, 1 keeps none of its colours.
        colors: Colour map of relevancies from 0 to 1.
    """
    # drawing/maps.py says why these numbers; a test compares the two.
    relevancy = relevancy.clamp(0.0, 1.0)
    row = ((0.15 + 0.85 * relevancy) * len(colors)).long().clamp_max(len(colors) - 1)
    grey = rgb @ (0.45 * rgb.new_tensor([0.299, 0.587, 0.114]))
    faint = 1.0 - relevancy
    faint = (faint * faint * faint)[..., None]
    drawn = torch.lerp(embedding(row, colors), grey[..., None].expand_as(rgb), faint)
    return torch.lerp(rgb, drawn, share)


class Sentence(ViewerElement[str]):
    """Text of several lines; nerfstudio's own text field shows one."""

    gui_handle: GuiMarkdownHandle | None  # type: ignore[assignment]

    def __init__(self, name: str, text: str):
        """Start with ``text``."""
        super().__init__(name)
        self.text = text

    def show(self, text: str) -> None:
        """Show another text."""
        self.text = text
        if self.gui_handle is not None:
            self.gui_handle.content = self._markdown()

    def _markdown(self) -> str:
        # The browser reads Markdown with JSX in it: a single brace of a message would show nothing at all.
        return _PUNCTUATION.sub(r"\\\1", self.text)

    def _create_gui_handle(self, viser_server: ViserServer) -> None:
        self.gui_handle = viser_server.gui.add_markdown(self._markdown(), visible=self.visible)

    def install(self, viser_server: ViserServer) -> None:
        """Add the text to a viewer."""
        self._create_gui_handle(viser_server)


class RelevancyView(torch.nn.Module):
    """Viewer controls for the query that is shown; without a viewer the first query is shown.

    The viewer finds the controls as attributes of a module and orders them by name. Nothing is saved in
    checkpoints.
    """

    colors: Tensor

    def __init__(self, localize_again: Callable[[], str]):
        """``localize_again`` is called by the button; it returns or raises the message to show."""
        super().__init__()
        viridis = torch.tensor(matplotlib.colormaps["viridis"](range(256))[:, :3], dtype=torch.float32)
        self.register_buffer("colors", viridis, persistent=False)
        self._queries: tuple[Query, ...] = ()
        self._localize_again = localize_again
        hint = 'What the output "relevancy" shows'
        self.chosen_query = ViewerDropdown("Query", _NO_QUERY, [_NO_QUERY], hint=hint)
        # Chosen: the scene's own colours stay visible where nothing is relevant.
        self.color_share = ViewerSlider("Blend", 0.8, 0.0, 1.0, 0.05, hint="0: the image, 1: relevancy alone")
        self.localize_button = ViewerButton("Localize the points again", cb_hook=self._localize)
        self.localize_report = Sentence("Localized", "")

    @property
    def choice(self) -> int:
        """Index of the chosen query; the first, if the viewer's choice is not among the queries."""
        labels = _labels(self._queries)
        chosen = self.chosen_query.value
        return labels.index(chosen) if chosen in labels else 0

    def offer(self, queries: Sequence[Query]) -> None:
        """Offer queries to choose from; a choice stays as long as there is a query of that name."""
        if tuple(queries) == self._queries:
            return
        before = self._queries[self.choice].name if self._queries else None
        self._queries = tuple(queries)
        names, labels = [query.name for query in queries], _labels(queries)
        self.chosen_query.set_options(labels)
        self.chosen_query.value = labels[names.index(before)] if before in names else labels[0]

    def images(
        self,
        features: Float[Tensor, "h w q"],
        alpha: Float[Tensor, "h w 1"],
        rgb: Float[Tensor, "h w 3"],
    ) -> dict[str, Tensor]:
        """Return the rendered relevancies as nerfstudio's outputs.

        Args:
            features: Alpha-blended relevancy of every query, not divided by ``alpha``.
            alpha: Accumulated opacity.
            rgb: Rendered colours.

        Returns:
            ``relevancy_<name>`` (h, w, 1) in [0, 1] for each query, divided by alpha; and ``relevancy``
            (h, w, 3) of the chosen query in colours.
        """
        values = (features / alpha.clamp_min(1e-6)).clamp(0.0, 1.0)
        images = {f"relevancy_{q.name}": values[..., i, None] for i, q in enumerate(self._queries)}
        images["relevancy"] = overlay(
            rgb, features[..., self.choice], float(self.color_share.value), self.colors
        )
        return images

    def _localize(self, _: ViewerButton) -> None:
        self.localize_report.show("Localizing …")
        try:
            message = self._localize_again()
        except Exception as err:
            # Any other error would be lost in the viewer's thread, without a trace on the page.
            why = str(err) if isinstance(err, Point2ActError) else repr(err)
            message = f"Nothing has changed. {why}"
        CONSOLE.print(message, markup=False)
        self.localize_report.show(message)


def _labels(queries: Sequence[Query]) -> list[str]:
    """Return labels of the queries in the viewer: their texts if these differ, else their names."""
    texts = [query.text for query in queries]
    labels = texts if len(set(texts)) == len(texts) else [query.name for query in queries]
    return labels or [_NO_QUERY]
