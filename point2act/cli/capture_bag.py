"""``point2act capture bag``: bags of ROS and MCAP files to a capture."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import tyro

from point2act.core.errors import CaptureError
from point2act.core.logs import printable
from point2act.core.progress import Stages
from point2act.data.importers.bag.reader import open_bag
from point2act.data.importers.bag.recording import BagConfig, extract, scan_bag
from point2act.data.importers.bag.topics import choose_topics, format_topics
from point2act.data.importers.write import check_output_free, write_recording

if TYPE_CHECKING:
    from point2act.calibration.checks.clock_skew import ClockSkew


@dataclass(frozen=True)
class Bag:
    """Convert a bag of ROS 1 or ROS 2, or an MCAP file, with colours, depth and tf.

    ROS is not needed, but pip install "point2act[bags]". The camera's poses are those of tf, interpolated to
    the times of the images. Topics that are not named are guessed; --list shows them.
    """

    files: tyro.conf.Positional[tuple[Path, ...]]
    """A .bag file or several of one recording, a folder of ROS 2, or an .mcap or .db3 file."""
    output: Path | None = None
    """Folder of the capture to write; new or empty."""
    show: Annotated[bool, tyro.conf.arg(name="list")] = False
    """Print the topics, their types and counts, and which would be used, and write nothing."""
    bag: Annotated[BagConfig, tyro.conf.arg(name="")] = field(default_factory=BagConfig)


def convert_bag(arguments: Bag) -> None:
    """Write a capture, or list topics. Raises ``CaptureError`` if the bag cannot be used."""
    if not arguments.files:
        raise CaptureError("point2act capture bag needs a file: give a .bag, .mcap or a folder of ROS 2")
    if arguments.show:
        with open_bag(arguments.files) as bag:
            table = format_topics(bag.topics, choose_topics(bag.topics, arguments.bag.topics))
        print("\n".join(printable(line) for line in table.split("\n")))
        return
    if arguments.output is None:
        raise CaptureError("point2act capture bag needs --output: give the folder of the capture to write")
    check_output_free(arguments.output)
    _write(arguments.files, arguments.bag, arguments.output)
    print(f"capture: {arguments.output}")


def _write(files: tuple[Path, ...], config: BagConfig, output: Path) -> None:
    from point2act.calibration.checks.bag_clock import measure_clock_skew
    from point2act.calibration.checks.recorded_clock import record_clock

    stages = Stages(show=True)
    with TemporaryDirectory(prefix="point2act-") as temporary:
        with open_bag(files) as bag:
            with stages.stage("read the bag") as tick:
                scan = scan_bag(bag, config, progress=tick)
            for note in scan.choice.notes:
                print(printable(note))
            with stages.stage("decode the images") as tick:
                recording = extract(bag, scan, config, Path(temporary), progress=tick)
            with stages.stage("compare the clocks of images and tf") as tick:
                skew = measure_clock_skew(bag, scan, config, Path(temporary), progress=tick)
            print(clock_note(skew, config.skew))
        with stages.stage("write the capture") as tick:
            write_recording(output, recording, progress=tick)
            if skew is not None:
                record_clock(output, skew, config.skew)


def clock_note(found: ClockSkew | None, given: float) -> str:
    """Return a remark on the clock skew that is left with the given one."""
    from point2act.calibration.checks.recorded_clock import agreeing, skew_message

    if found is None:
        return (
            "the clocks of images and tf cannot be compared: the camera moves too little or too steadily, or "
            "the images have too few features"
        )
    if agreeing(found.seconds, found.std):
        return f"images and tf agree in time to {found}"
    return skew_message(found.seconds, found.std, given)
