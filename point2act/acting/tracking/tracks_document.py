"""Form of tracks.json, see ``core.documents``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from point2act.core.documents import AnyText, Document, Version


class TrackEntry(Document):
    """Where a thing is in a frame."""

    name: AnyText
    state: Literal["tracked", "lost"] = Field(
        description="tracked, or lost: hidden or not found, the place is the last one"
    )
    score: float = Field(ge=0, le=1, description="share of its visible points that agree with the image")
    pixel: Annotated[list[float], Field(min_length=2, max_length=2)] = Field(
        description="its middle in the colour image, pixels"
    )
    position: Annotated[list[float], Field(min_length=3, max_length=3)] = Field(
        description="its middle in the camera frame (x right, y down, z forward), metres"
    )


class FrameEntry(Document):
    """A frame of the recording."""

    image: AnyText = Field(description="file name of the colour image")
    things: list[TrackEntry] = Field(description="one for each thing, in the order of the clicks")


class TracksDocument(Document):
    """Where things are in each frame of a recording."""

    version: Version
    recording: AnyText = Field(description="its folder")
    frame: Literal["camera"] = Field(description="positions are in the frame of the colour camera")
    frames: list[FrameEntry]
