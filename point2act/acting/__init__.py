"""Perception while a robot acts: things are followed from frame to frame."""

from point2act.acting.thing import Thing, thing_at
from point2act.acting.tracker import Track, TrackConfig, Tracker

__all__ = ["Thing", "Track", "TrackConfig", "Tracker", "thing_at"]
