"""``point2act track``: a recording and clicks in, tracks.json and a film out."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from moving_boxes import BLUE, CAMERA, RED, frame, pixel_of, top
from PIL import Image, ImageSequence
from write_schemas import schema

from point2act.acting import Track
from point2act.acting.tracking.tracks_json import read_tracks, write_tracks
from point2act.cli.main import main
from point2act.core.errors import CaptureError, ResultsError
from point2act.data.importers.layouts import read_sequence
from point2act.visualization.drawing import draw_trail, encode_film

FRAMES = 6
CLICK = "red box={:.0f},{:.0f}".format(*pixel_of(top(RED)))


def write_recording(folder: Path, shift: float = 0.006) -> None:
    """The red box is pushed along y; the camera stands still."""
    for name in ("color", "depth"):
        (folder / name).mkdir(parents=True)
    for number in range(FRAMES):
        view = frame(RED.moved((0.0, shift * number, 0.0)), BLUE, noise=0.001, seed=number)
        assert view.depth is not None
        Image.fromarray(view.rgb).save(folder / "color" / f"{number}.png")
        Image.fromarray(np.round(1000 * view.depth).astype(np.uint16)).save(
            folder / "depth" / f"{number}.png"
        )
    camera = {"width": CAMERA.width, "height": CAMERA.height, "fx": CAMERA.fx, "fy": CAMERA.fy}
    # librealsense's centre of the first pixel is 0.
    camera |= {"ppx": CAMERA.cx - 0.5, "ppy": CAMERA.cy - 0.5}
    (folder / "camera.json").write_text(json.dumps(camera))


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded") / "recording"
    write_recording(folder)
    return folder


@pytest.fixture(scope="module")
def tracked(recording: Path) -> tuple[Path, str]:
    """The file that the command writes in a process of its own, and what it prints."""
    output = recording.parent / "out" / "tracks.json"
    command = [sys.executable, "-m", "point2act.cli", "track", str(recording)]
    clicks = ["--click", CLICK, "--click", "{:.0f},{:.0f}".format(*pixel_of(top(BLUE)))]
    done = subprocess.run(
        [*command, *clicks, "--output", str(output)], check=True, capture_output=True, text=True, timeout=300
    )
    return output, done.stdout


def test_it_follows_what_moves_and_what_stands(tracked: tuple[Path, str]):
    frames = read_tracks(tracked[0])["frames"]
    assert [frame["image"] for frame in frames] == [f"{number}.png" for number in range(FRAMES)]
    for number, entry in enumerate(frames):
        red, blue = entry["things"]
        assert (red["name"], blue["name"]) == ("red box", "thing 2")
        assert red["state"] == blue["state"] == "tracked"
        there = pixel_of(top(RED.moved((0.0, 0.006 * number, 0.0))))
        assert np.linalg.norm(np.subtract(red["pixel"], there)) < 5
        assert np.linalg.norm(np.subtract(blue["pixel"], pixel_of(top(BLUE)))) < 3
    ends = [np.array(frames[number]["things"][0]["position"]) for number in (0, FRAMES - 1)]
    assert np.linalg.norm(ends[1] - ends[0]) == pytest.approx(0.006 * (FRAMES - 1), abs=0.004)


def test_the_position_projects_to_the_pixel(tracked: tuple[Path, str]):
    for entry in read_tracks(tracked[0])["frames"]:
        for thing in entry["things"]:
            x, y, z = thing["position"]
            pixel = [CAMERA.fx * x / z + CAMERA.cx, CAMERA.fy * y / z + CAMERA.cy]
            np.testing.assert_allclose(thing["pixel"], pixel, atol=0.05)


def test_it_follows_the_schema_and_says_how_fast_it_was(tracked: tuple[Path, str]):
    Draft202012Validator(schema("tracks")).validate(json.loads(tracked[0].read_text()))
    assert f"{FRAMES} frames" in tracked[1]
    assert f"red box: tracked in {FRAMES} of {FRAMES} frames" in tracked[1]


def test_the_film_has_a_picture_of_each_frame_with_the_things_marked(
    tracked: tuple[Path, str], recording: Path
):
    film = Image.open(io.BytesIO(tracked[0].with_suffix(".webp").read_bytes()))
    pictures = [np.asarray(one.convert("RGB")) for one in ImageSequence.Iterator(film)]
    assert len(pictures) == FRAMES
    plain = np.asarray(Image.open(recording / "color" / "0.png"))
    x, y = (int(value) for value in pixel_of(top(RED)))
    near = np.s_[y - 15 : y + 15, x - 15 : x + 15]
    assert np.abs(pictures[0].astype(int) - plain)[near].mean() > 15


def test_a_recording_without_poses_is_read_in_the_order_of_numbers(recording: Path):
    names = [recorded.frame.image_path.name for recorded in read_sequence(recording).frames]
    assert names == [f"{number}.png" for number in range(FRAMES)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--click", "20"], "give a pixel X,Y"),
        (["--click", "nan,4"], "give a pixel X,Y"),
        (["--click", "a=20,30", "--click", "a=40,50"], "two clicks named 'a'"),
        (["--click", "2000,30"], "outside the image"),
        ([], "--click"),
    ],
)
def test_wrong_clicks_are_explained(
    recording: Path, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    output = tmp_path / "tracks.json"
    with pytest.raises(SystemExit) as caught:
        main(["track", str(recording), *arguments, "--output", str(output)])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
    assert not output.exists()


def test_a_folder_that_is_no_recording_is_explained(tmp_path: Path):
    with pytest.raises(CaptureError, match="no known layout"):
        read_sequence(tmp_path)
    (tmp_path / "depth").mkdir()
    (tmp_path / "color").mkdir()
    with pytest.raises(CaptureError, match=r"camera\.json"):
        read_sequence(tmp_path)


def a_track(**changes: object) -> Track:
    fields = {
        "name": "cup",
        "state": "tracked",
        "pixel": np.array([3.0, 4.0]),
        "position": np.array([0.1, 0.2, 0.5]),
        "T_cam_thing": np.eye(4),
        "score": 0.9,
    }
    return Track(**(fields | changes))


def test_numbers_that_are_not_finite_are_not_written(tmp_path: Path):
    path = tmp_path / "tracks.json"
    with pytest.raises(ResultsError, match="was not written"):
        write_tracks(path, tmp_path, {"0.png": [a_track(position=np.array([np.nan, 0.0, 1.0]))]})
    assert not path.exists()


def test_a_file_of_another_format_is_not_read(tmp_path: Path):
    path = tmp_path / "tracks.json"
    path.write_text('{"version": 1, "frames": []}')
    with pytest.raises(ResultsError, match=r"is not a tracks\.json"):
        read_tracks(path)


def test_a_lost_thing_is_drawn_without_its_surface():
    image = np.full((120, 160, 3), 90, np.uint8)
    surface = np.array([[20.0, 100.0], [30.0, 100.0]])
    trail = np.array([[80.0, 40.0], [100.0, 60.0]])
    seen = draw_trail(image, trail, surface, "cup", (0, 158, 115))
    lost = draw_trail(image, trail, surface, "cup", (0, 158, 115), lost=True)
    assert (seen[98:103, 15:35] != 90).any()
    assert (lost[98:103, 15:35] == 90).all()
    assert (lost[:, 60:] != 90).any()
    assert (image == 90).all()


def test_a_film_of_one_picture_is_a_picture():
    picture = np.full((20, 30, 3), 200, np.uint8)
    assert np.asarray(Image.open(io.BytesIO(encode_film([picture], 5.0)))).shape == (20, 30, 3)


TOYS = {
    "carrot": {0: (227, 170), 10: (126, 95), 20: (130, 119), 29: (328, 56)},
    "ball": {0: (420, 175), 10: (335, 113), 20: (168, 171), 29: (248, 190)},
    "toy": {0: (298, 207), 10: (245, 235), 20: (277, 279), 29: (484, 241)},
}
"""The middle of each toy in some frames, read by eye from enlarged pictures with a grid."""


def test_three_real_toys_are_followed(shared_data: Path, tmp_path: Path):
    """A ball is rolled along, and the camera comes nearer."""
    clicks = [
        word for name, seen in TOYS.items() for word in ("--click", f"{name}={seen[0][0]},{seen[0][1]}")
    ]
    main(["track", str(shared_data / "tracking"), *clicks, "--output", str(tmp_path / "tracks.json")])
    frames = read_tracks(tmp_path / "tracks.json")["frames"]
    assert len(frames) == 30
    for number, seen in enumerate(TOYS.values()):
        found = [frame["things"][number] for frame in frames]
        assert all(one["state"] == "tracked" for one in found)
        for index, pixel in seen.items():
            assert np.linalg.norm(np.subtract(found[index]["pixel"], pixel)) < 15
