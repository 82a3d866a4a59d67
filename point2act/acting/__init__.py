"""Acting on a localized scene: things are tracked, and plans with constraints carried out in closed loop."""

from point2act.acting.tracking.thing import Thing, thing_at
from point2act.acting.tracking.tracker import Track, TrackConfig, Tracker

__all__ = ["Thing", "Track", "TrackConfig", "Tracker", "thing_at"]
