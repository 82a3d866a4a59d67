"""``point2act check CAPTURE``: what is wrong or weak with a capture, before anything is made of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from point2act.calibration.checks import CheckConfig, Finding, Report, run_checks
from point2act.calibration.checks.findings import SEVERITIES
from point2act.calibration.poses import PoseRefinementConfig
from point2act.cli.refine import mended_copy
from point2act.core.files import write_json
from point2act.core.logs import printable
from point2act.core.progress import Stages
from point2act.data.capture import load_views, read_capture
from point2act.data.importers.write import check_output_free

_NAMED = 4
"""Images named under a finding; of more the number is told."""

_HEADINGS = {"error": "ERRORS", "warning": "WARNINGS", "remark": "REMARKS"}


@dataclass(frozen=True)
class Arguments:
    """Tell in plain words what is wrong or weak with a capture.

    Looks at blur, exposure, duplicates, coverage, whether the poses fit the pictures, whether depth agrees
    from view to view, and whether it lies on the colours. Ends with 0 where there is nothing but remarks, 1
    with warnings, 2 with errors.

      point2act check capture/ --refine mended/

    also lays depth on the colours and poses on the pictures, as far as these ask for it clearly, writes that
    as a capture of its own, tells by how much everything moved, and ends with what is still wrong with it.
    """

    capture: tyro.conf.Positional[Path]
    """Folder with transforms.json, images and, best, depth."""
    json: Path | None = None
    """File for the same as JSON, or - for standard output in place of the words."""
    refine: Path | None = None
    """New folder for a copy of the capture with its depth registered to the colours and its poses refined."""
    allow_outside: bool = False
    """Read files that the capture names outside its folder, also by way of symbolic links."""
    poses: PoseRefinementConfig = field(default_factory=PoseRefinementConfig)
    """How far poses may be off, and when others are better: for --refine."""
    config: Annotated[CheckConfig, tyro.conf.arg(name="")] = field(default_factory=CheckConfig)


def main(argv: Sequence[str]) -> None:
    """Parse and run; leaves with the report's exit code unless that is 0."""
    arguments = tyro.cli(Arguments, args=argv, prog="point2act check")
    if arguments.refine is not None:
        check_output_free(arguments.refine)
    stages = Stages(show=True)
    capture = read_capture(arguments.capture, allow_outside=arguments.allow_outside)
    with stages.stage("load the images") as bar:
        views = load_views(capture, max_side=arguments.config.max_side, progress=bar)
    with stages.stage("look at them") as bar:
        report = run_checks(views, progress=bar)
    document, words = report.document(), _words(report)
    if arguments.refine is not None:
        copied = mended_copy(
            capture, views, arguments.refine, config=arguments.config, poses=arguments.poses, stages=stages
        )
        report = copied.report
        document |= {"refined": copied.document | {"report": report.document()}}
        words = "\n\n".join([words, copied.words, f"THE COPY\n{_words(report)}"])
    if arguments.json == Path("-"):
        print(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        print("\n".join(map(printable, words.splitlines())))
        if arguments.json is not None:
            write_json(arguments.json, document)
    if report.exit_code:
        raise SystemExit(report.exit_code)


def _words(report: Report) -> str:
    """Findings by severity, and what is fine in one line."""
    lines = []
    for severity in SEVERITIES:
        found = [finding for finding in report.findings if finding.severity == severity]
        lines += [_HEADINGS[severity], *(_line(finding) for finding in found), ""] if found else []
    if report.fine:
        lines.append(f"fine: {', '.join(report.fine)}")
    return "\n".join(lines).rstrip() or "nothing to say: too little could be measured"


def _line(finding: Finding) -> str:
    if not finding.images:
        return f"  {finding.message}"
    named = ", ".join(finding.images[:_NAMED])
    more = len(finding.images) - _NAMED
    return f"  {named}{f' and {more} more' if more > 0 else ''}: {finding.message}"
