"""Conversion of Record3D and Polycam exports with nerfstudio's converters."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from point2act.core.errors import CaptureError
from point2act.data.importers.write import mark_metric, new_capture

App = Literal["record3d", "polycam"]


def convert_export(app: App, export: Path, output: Path) -> None:
    """Run ``ns-process-data`` on an export and mark its lengths as metres, as ARKit's are.

    nerfstudio's converter needs the program ffmpeg; it ignores the depth of Record3D. Raises ``CaptureError``
    without ffmpeg, and with the last line of the converter's output if it fails.
    """
    if not export.exists():
        raise CaptureError(f"there is no {export}: give what {app} exported")
    if shutil.which("ffmpeg") is None:
        raise CaptureError(f"nerfstudio's converter for {app} needs the program ffmpeg: install it first")
    with new_capture(output) as folder:
        arguments = [app, "--data", str(export), "--output-dir", str(folder), "--num-downscales", "0"]
        # The converter unpacks a zip itself; it fails for an export without depth.
        if app == "polycam" and (export.suffix == ".zip" or (export / "keyframes" / "depth").is_dir()):
            arguments.append("--use-depth")
        _run(arguments, export)
        if not (folder / "transforms.json").is_file():
            raise CaptureError(f"nerfstudio made no transforms.json of {export}: check that it is from {app}")
        mark_metric(folder, metric=True)


def _run(arguments: Sequence[str], export: Path) -> None:
    command = [sys.executable, "-m", "nerfstudio.scripts.process_data", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        last = words[-1] if words else f"exit code {done.returncode}"
        raise CaptureError(
            f"nerfstudio could not convert {export} ({last}): check that the export is complete"
        )
