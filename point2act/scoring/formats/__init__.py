"""Published data sets of pointing benchmarks: where their files are, and how their authors score answers."""

from point2act.scoring.formats.format import Format
from point2act.scoring.formats.point_bench import POINT_BENCH
from point2act.scoring.formats.reasoning import REASONING
from point2act.scoring.formats.rectangles import RECTANGLES
from point2act.scoring.formats.refspatial import REFSPATIAL
from point2act.scoring.formats.robospatial import ROBOSPATIAL
from point2act.scoring.formats.where2place import WHERE2PLACE

FORMATS = {
    known.name: known for known in (WHERE2PLACE, REFSPATIAL, POINT_BENCH, ROBOSPATIAL, REASONING, RECTANGLES)
}

__all__ = ["FORMATS", "Format"]
