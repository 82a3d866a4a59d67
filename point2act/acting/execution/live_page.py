"""A run in a browser while it lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from point2act.acting.execution.timeline import Event, NoObserver, Observer
from point2act.core.types import View
from point2act.visualization.viewer import ViewerConfig
from point2act.visualization.viewer.run_page import RunPage


class _Shown:
    """Shows a run on a page."""

    def __init__(self, page: RunPage):
        self._page = page

    def view(self, view: View) -> None:
        self._page.show(view)

    def event(self, event: Event) -> None:
        self._page.note(event.time, event.kind, event.detail)


@contextmanager
def live_page(title: str, port: int | None) -> Iterator[Observer]:
    """Serve a page for as long as a run lasts, and print its address.

    Args:
        title: What is carried out.
        port: First port to try; None for no page.
    """
    if port is None:
        yield NoObserver()
        return
    page = RunPage(title, ViewerConfig(port=port))
    print(f"page: {page.url}", flush=True)
    try:
        yield _Shown(page)
    finally:
        page.close()
