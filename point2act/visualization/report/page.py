"""The page around the sections: one HTML file that needs nothing from outside."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from point2act.core.errors import ReportError
from point2act.core.files import write_bytes
from point2act.visualization.report.style import STYLE

_KEY = re.compile(r"[a-z][a-z0-9-]*")
_NAV = re.compile(r"<!-- nav -->.*?<!-- /nav -->", re.DOTALL)
_HEADING = re.compile(r'<section id="([a-z0-9-]+)">\s*<h2>(.*?)</h2>')
_END = "<!-- end of sections -->"

_LONGEST_SIDE = 560
"""Of an embedded picture in pixels: sharp at twice its usual width on the page, a few tens of kB."""


@dataclass(frozen=True)
class Section:
    """A part of the page; ``title`` is plain text, ``body`` is HTML."""

    key: str
    title: str
    body: str


def write_page(path: Path | str, title: str, head: str, sections: Sequence[Section]) -> None:
    """Write a page atomically: the HTML ``head`` under its title, then the sections, linked at the top."""
    blocks = "".join(_block(section) for section in sections)
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<header class="top"><h1>{escape(title)}</h1>
{head}</header>
<!-- nav --><!-- /nav -->
<main>
{blocks}{_END}
</main>
</body>
</html>
"""
    write_bytes(path, _linked(page).encode("utf-8"))


def add_section(path: Path | str, key: str, title: str, html: str) -> None:
    """Add a section to the end of a written report, or replace the one with the same key.

    ``key`` is lower-case letters, digits and dashes; ``html`` is trusted, ``title`` is plain text.
    Raises ``ReportError`` when the file is not a report of ours.
    """
    if not _KEY.fullmatch(key):
        raise ValueError(f"section key {key!r}: use lower-case letters, digits and dashes")
    try:
        page = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise ReportError(
            f"{path} cannot be read ({err}): make the report first, with point2act run"
        ) from err
    if _END not in page:
        raise ReportError(f"{path} is not a report of point2act: name the report.html that it wrote")
    block = _block(Section(key, title, html))
    page, replaced = re.subn(
        f"<!-- {key} -->.*?<!-- /{key} -->\n", lambda _: block, page, count=1, flags=re.DOTALL
    )
    if not replaced:
        page = page.replace(_END, block + _END)
    write_bytes(path, _linked(page).encode("utf-8"))


def figure(image: UInt8[np.ndarray, "h w 3"], alt: str, caption: str = "", *, kind: str = "") -> str:
    """An embedded picture that opens large when clicked; ``caption`` is HTML, ``kind`` a CSS class."""
    words = f"<figcaption>{caption}</figcaption>" if caption else ""
    return (
        f'<figure class="{kind}"><label><input type="checkbox">'
        f'<img src="{_data_uri(image)}" alt="{escape(alt)}"></label>{words}</figure>'
    )


def _block(section: Section) -> str:
    return (
        f'<!-- {section.key} -->\n<section id="{section.key}">\n<h2>{escape(section.title)}</h2>\n'
        f"{section.body}\n</section>\n<!-- /{section.key} -->\n"
    )


def _linked(page: str) -> str:
    """The page with its list of links made anew from its headings."""
    links = "".join(f'<a href="#{key}">{title}</a>' for key, title in _HEADING.findall(page))
    return _NAV.sub(lambda _: f"<!-- nav --><nav>{links}</nav><!-- /nav -->", page, count=1)


def _data_uri(image: UInt8[np.ndarray, "h w 3"]) -> str:
    """The picture as text: a JPEG with colours at full resolution, so that thin marks stay clean."""
    picture = Image.fromarray(image)
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "jpeg", quality=85, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
