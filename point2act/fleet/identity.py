"""What the result of a job depends on, as hashes of contents: the same job has the same key anywhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from os.path import relpath
from pathlib import Path
from typing import Any

from point2act.core import config_files
from point2act.core.errors import ArmError, CaptureError, GripperError, PointsError
from point2act.core.files import read_bytes
from point2act.core.types import Capture
from point2act.data.capture import read_capture
from point2act.data.resume import capture_files, fingerprint
from point2act.fleet.manifest import Job, JobOptions

# Of an option that the scene depends on; the others are about answering.
_SCENE = ("metric", "seed", "max_side", "max_views", "refine_poses", "device")


@dataclass(frozen=True)
class Task:
    """A job whose files were found and read: what a worker is given."""

    key: str
    """Hash of the contents that the result depends on."""
    scene: str
    """Hash of those that the scene depends on: tasks with the same one share it."""
    capture: Path
    """Folder of the capture, resolved."""
    files: str
    """Names, sizes and modification times of the capture's files, see ``fingerprint``."""
    points: Path
    """The answers; those of a model are written there before the task is worked on."""
    options: JobOptions

    @property
    def name(self) -> str:
        """Name of the task's folder: results name their capture, so equal captures have one each."""
        return f"{self.key}-{digest(str(self.capture))[:8]}"


@dataclass(frozen=True)
class _CaptureContent:
    capture: Capture
    content: str
    files: str


@dataclass
class Identification:
    """Finds the keys of jobs; a capture that several jobs name is read once."""

    _captures: dict[tuple[Path, bool], _CaptureContent] = field(default_factory=dict)

    def task(self, job: Job, asked: Mapping[str, Any] | None, answers: Path) -> Task:
        """Return a job as a task.

        Args:
            job: The job.
            asked: What answers depend on beside the images and the queries, JSON: the model and how it is
                asked. None for recorded answers.
            answers: Folder for the answers of a model.

        Raises:
            Point2ActError: A file of the job cannot be read.
        """
        known, options = self._content(job), job.options
        if asked is None:
            assert job.points is not None
            points, about = job.points.resolve(), _sha256(read_bytes(job.points, PointsError))
        else:
            queries = [asdict(query) for query in job.queries]
            about = digest([known.content, queries, asked, options.max_views])
            points = answers / about[:2] / about / "points.json"
        release = version("point2act")
        scene = digest([release, known.content, {name: getattr(options, name) for name in _SCENE}])
        robot = [_gripper(options.gripper), None if options.arm is None else _arm(options.arm)]
        key = digest([scene, about, robot, options.sensor, options.fields])
        return Task(key, scene, known.capture.folder.resolve(), known.files, points, options)

    def capture(self, job: Job) -> Capture:
        """Return the capture of a job."""
        return self._content(job).capture

    def _content(self, job: Job) -> _CaptureContent:
        place = (job.capture, job.options.allow_outside)
        if place not in self._captures:
            capture = read_capture(job.capture, allow_outside=job.options.allow_outside)
            # Before the contents: a file that changes while it is read is then noticed.
            files = fingerprint(capture)
            self._captures[place] = _CaptureContent(capture, content_of(capture), files)
        return self._captures[place]


def content_of(capture: Capture) -> str:
    """Return the SHA-256 of the names, relative to the folder, and the contents of a capture's files.

    Raises:
        CaptureError: A file cannot be read.
    """
    folder = capture.folder.resolve()
    return digest([[relpath(path, folder), _file_digest(path)] for path in capture_files(capture)])


def digest(document: Any) -> str:
    """Return the SHA-256 of a JSON document."""
    return _sha256(json.dumps(document, sort_keys=True, allow_nan=False).encode("ascii"))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            found = hashlib.sha256()
            while block := file.read(1 << 20):
                found.update(block)
            return found.hexdigest()
    except OSError as err:
        raise CaptureError(f"{path} cannot be read ({err.strerror}): check its permissions") from err


def _gripper(name: str) -> str:
    return _sha256(config_files.load("grippers", name, GripperError)[0].read_bytes())


def _arm(name: str) -> list[str]:
    """Return hashes of an arm's file and of its model's."""
    path, table = config_files.load("arms", name, ArmError)
    model = path.parent / str(table.get("model"))
    return [_sha256(path.read_bytes()), _sha256(read_bytes(model, ArmError))]
