"""``point2act check CAPTURE``: errors and warnings of a capture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from point2act.calibration.checks import CheckConfig, Finding, Report, run_checks
from point2act.calibration.checks.base_frame import check_base
from point2act.calibration.checks.findings import SEVERITIES
from point2act.calibration.checks.recorded_clock import check_clock
from point2act.calibration.poses import PoseRefinementConfig
from point2act.cli.option_groups import CaptureInput
from point2act.cli.options import parse
from point2act.cli.refine import refined_copy
from point2act.core.files import write_json
from point2act.core.logs import printable
from point2act.core.progress import Stages
from point2act.data.capture import load_views, read_capture
from point2act.data.importers.write import check_output_free

_NAMED = 4
"""Number of images that are named for a finding."""

_HEADINGS = {"error": "ERRORS", "warning": "WARNINGS", "remark": "REMARKS"}


@dataclass(frozen=True)
class CheckOutput:
    """Files to write."""

    json: Path | None = None
    """Also write the report as JSON to this file; - prints it on standard output in place of the text."""
    refine: Path | None = None
    """New folder for a copy of the capture with registered depth and refined poses."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Report errors and warnings of a capture before anything is reconstructed from it.

    Checks blur, exposure, duplicates, coverage, camera poses against the images, depth between views, the
    registration of depth to colour, the robot's base frame, and the clocks of a bag. Exit code 0: remarks at
    most, 1: warnings, 2: errors.

      point2act check capture/ --refine refined/

    also registers the depth to the colour images and refines the poses where the evidence is clear, writes
    the result as a new capture, reports by how much everything moved, and checks the new capture.
    """

    input: Annotated[CaptureInput, tyro.conf.arg(name="")]
    output: Annotated[CheckOutput, tyro.conf.arg(name="")] = field(default_factory=CheckOutput)
    speed: Annotated[CheckConfig, tyro.conf.arg(name="")] = field(default_factory=CheckConfig)
    poses: PoseRefinementConfig = field(default_factory=PoseRefinementConfig)
    """Pose refinement of --refine."""


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and check the capture; exit with the report's exit code."""
    arguments = parse(Arguments, argv, "check")
    given, output, config = arguments.input, arguments.output, arguments.speed
    if output.refine is not None:
        check_output_free(output.refine)
    stages = Stages(show=True)
    capture = read_capture(given.capture, allow_outside=given.allow_outside)
    with stages.stage("load the images") as bar:
        views = load_views(capture, max_side=config.max_side, progress=bar)
    with stages.stage("check the capture") as bar:
        recorded = [check_base(capture), check_clock(given.capture)]
        report = run_checks(views, metric=capture.metric, recorded=recorded, progress=bar)
    document, words = report.document(), _words(report)
    if output.refine is not None:
        copied = refined_copy(
            capture, views, output.refine, config=config, poses=arguments.poses, stages=stages
        )
        report = copied.report
        document |= {"refined": copied.document | {"report": report.document()}}
        words = "\n\n".join([words, copied.words, f"REFINED CAPTURE\n{_words(report)}"])
    if output.json == Path("-"):
        print(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        print("\n".join(map(printable, words.splitlines())))
        if output.json is not None:
            write_json(output.json, document)
    if report.exit_code:
        raise SystemExit(report.exit_code)


def _words(report: Report) -> str:
    """Return the findings by severity, and the passed checks on one line."""
    lines = []
    for severity in SEVERITIES:
        found = [finding for finding in report.findings if finding.severity == severity]
        lines += [_HEADINGS[severity], *(_line(finding) for finding in found), ""] if found else []
    if report.fine:
        lines.append(f"fine: {', '.join(report.fine)}")
    return "\n".join(lines).rstrip() or "no findings: too little could be measured"


def _line(finding: Finding) -> str:
    if not finding.images:
        return f"  {finding.message}"
    named = ", ".join(finding.images[:_NAMED])
    more = len(finding.images) - _NAMED
    return f"  {named}{f' and {more} more' if more > 0 else ''}: {finding.message}"
