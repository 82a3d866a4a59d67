"""Gripper files: the shipped ones are right, wrong ones are refused in words, the page about them is true."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from point2act.cli.main import main as cli
from point2act.core import config_files
from point2act.core.errors import GripperError
from point2act.grasping.antipodal.collision import swept_back
from point2act.grasping.grippers import Boxes, Gripper, load_gripper
from point2act.visualization.drawing.gripper_drawing import gripper_sheet

SHIPPED = config_files.available("grippers")
ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "configs" / "grippers" / "README.md"

GOOD = """
name = "test"
max_width = 0.08
pad_size = [0.02, 0.02]
max_force = 40
source = "made up"
[[finger]]
center = [0.0, 0.005, -0.01]
half_extents = [0.01, 0.005, 0.02]
[[body]]
center = [0.0, 0.0, -0.06]
half_extents = [0.03, 0.1, 0.03]
"""
LINK = """
[[link]]
center = [0.0, 0.01, -0.03]
half_extents = [0.005, 0.005, 0.01]
follow = 0.5
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "gripper.toml"
    path.write_text(text, encoding="utf-8")
    return path


def extent(boxes: Boxes) -> tuple[np.ndarray, np.ndarray]:
    return boxes.low.min(axis=0), boxes.high.max(axis=0)


def flange(gripper: Gripper, opening: float) -> float:
    distance = gripper.mount_at(opening)
    assert distance is not None
    return distance


def outside(points: np.ndarray, boxes: Boxes) -> float:
    """How far the farthest point is outside all boxes, in the y-z plane."""
    over = np.maximum(np.abs(points[:, None] - boxes.center[None, :, 1:]) - boxes.half[None, :, 1:], 0)
    return float(np.linalg.norm(over, axis=2).min(axis=1).max())


# ── the shipped ones ───────────────────────────────────────────────────────────────────────────
def test_four_come_along():
    assert SHIPPED == ["panda", "robotiq_2f140", "robotiq_2f85", "wsg50"]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_grippers_load_and_say_where_their_numbers_come_from(name):
    gripper = load_gripper(name)
    assert gripper.name == name
    assert len(gripper.source) > 20


@pytest.mark.parametrize("name", SHIPPED)
def test_pad_is_part_of_the_finger(name):
    gripper = load_gripper(name)
    width, length = gripper.pad_size
    # A box whose inner face is the pad's plane covers the pad.
    assert any(
        abs(center[1] - half[1]) < 1e-4
        and half[0] >= width / 2 - 1e-4
        and abs(center[2]) + length / 2 <= half[2] + 1e-3
        for center, half in gripper.finger
    )


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_nothing_of_the_fingers_is_between_the_pads(name, share):
    gripper = load_gripper(name)
    opening = share * gripper.max_width
    left = gripper.fingers_at(opening)[: len(gripper.finger)]
    assert extent(left)[0][1] == pytest.approx(opening / 2, abs=1e-4)


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_both_sides_are_mirror_images(name, share):
    gripper = load_gripper(name)
    for boxes in (gripper.fingers_at(share * gripper.max_width), gripper.body_at(share * gripper.max_width)):
        found = {tuple(np.round(np.concatenate(box), 9) + 0.0) for box in boxes}
        mirrored = {(x, -y + 0.0, z, *half) for x, y, z, *half in found}
        assert found == mirrored


@pytest.mark.parametrize("name", SHIPPED)
def test_fingers_and_palm_hang_together(name):
    """No gap along z from the tip to the mounting face, at any opening."""
    gripper = load_gripper(name)
    for opening in np.linspace(0, gripper.max_width, 5):
        boxes = gripper.boxes_at(opening)
        spans = sorted(zip(boxes.low[:, 2], boxes.high[:, 2], strict=True))
        reached = spans[0][1]
        for low, high in spans[1:]:
            assert low <= reached + 1e-9
            reached = max(reached, high)


# What makers and second sources say: width and depth across, at the open gripper, and the length from the
# mounting face to the fingertips when closed. Franka Hand data sheet; Robotiq's description with the linkage
# closed and a coupling of 10.8 mm; drake's wsg_50_description (body 146 x 50, tips at 154.4).
ENVELOPE = {
    "panda": (0.204, 0.063, 0.1034 + 0.0089),
    "robotiq_2f85": (0.150, 0.075, 0.1630 + 0.0108),
    "robotiq_2f140": (0.202, 0.075, 0.2330 + 0.0108),
    "wsg50": (0.146, 0.050, 0.1544),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_boxes_fill_the_maker_s_measures(name):
    gripper = load_gripper(name)
    width, depth, length = ENVELOPE[name]
    low, high = extent(gripper.boxes_at(gripper.max_width))
    assert (high - low)[:2] == pytest.approx([depth, width], abs=0.005)
    tip = extent(gripper.fingers_at(0.0))[1][2]
    assert flange(gripper, 0.0) + tip == pytest.approx(length, abs=0.0015)


def test_panda_has_the_datasheet_s_measures():
    gripper = load_gripper("panda")
    assert gripper.max_width == pytest.approx(0.080)
    assert gripper.max_force == pytest.approx(70)
    # The gripper is 66 mm high, and its mounting face lies 103.4 mm behind the tool centre point.
    assert extent(gripper.body)[1][2] == pytest.approx(0.066 - 0.1034, abs=0.001)


def test_the_85_agrees_with_a_second_source():
    gripper = load_gripper("robotiq_2f85")
    # mujoco_menagerie: pad boxes 22 x 37.5 mm, 85.4 mm apart, their middle 141.5 mm in front of the flange.
    assert gripper.pad_size == pytest.approx((0.022, 0.0375))
    assert gripper.max_width == pytest.approx(0.0854, abs=0.001)
    assert gripper.mount_at(gripper.max_width) == pytest.approx(0.1415, abs=0.001)


def test_the_140_agrees_with_a_second_source():
    gripper = load_gripper("robotiq_2f140")
    # The maker's simulation assets: fingertips of 27 x 65 x 19 mm centred at y = 79.6, z = 177.0 mm.
    center, half = next(iter(gripper.fingers_at(gripper.max_width)))
    assert 2 * half == pytest.approx([0.027, 0.019, 0.065], abs=0.0005)
    assert center[1] == pytest.approx(0.0796, abs=0.0005)
    assert gripper.mount_at(gripper.max_width) == pytest.approx(0.1770 + 0.0108, abs=0.0005)


# ── linkages ───────────────────────────────────────────────────────────────────────────────────
# Both have the same base. Joints in it (y, z) and from the finger's joint to the pad's middle, millimetres,
# from robotiq_2f_85_gripper_visualization and robotiq_2f_140_gripper_visualization.
OUTER, INNER, ELBOW, COUPLING = (30.601, 54.905), (12.7, 61.42), (31.5, -3.9), 10.8
FINGER = {"robotiq_2f85": ((37.6, 43.0), (25.195, 32.42)), "robotiq_2f140": ((64.64, 76.30), (25.24, 45.755))}


def linkage(name: str, opening: float) -> tuple[float, float]:
    """Angle of the bars to the approach, and how far the pads are in front of the base, millimetres."""
    bar, pad = FINGER[name]
    length = np.hypot(*bar)
    turned = np.arcsin((1e3 * opening / 2 + pad[0] - OUTER[0]) / length)
    return float(turned), OUTER[1] + length * np.cos(turned) + pad[1]


@pytest.mark.parametrize("name", FINGER)
def test_the_mounting_face_is_where_the_linkage_puts_it(name):
    gripper = load_gripper(name)
    for opening in np.linspace(0, gripper.max_width, 57):
        truth = (linkage(name, opening)[1] + COUPLING) * 1e-3
        assert gripper.mount_at(opening) == pytest.approx(truth, abs=0.0004)


@pytest.mark.parametrize("name", FINGER)
def test_bars_stay_within_the_boxes(name):
    """The inner bars, 10 mm thick, and the joints at the elbows, 8 mm across."""
    gripper = load_gripper(name)
    length = np.hypot(*FINGER[name][0])
    for opening in np.linspace(0, gripper.max_width, 29):
        turned, front = linkage(name, opening)
        along, across = (
            np.array([np.sin(turned), np.cos(turned)]),
            np.array([np.cos(turned), -np.sin(turned)]),
        )
        bar = [
            INNER + share * length * along + side * across
            for share in np.linspace(0, 1, 40)
            for side in (-5.0, 5.0)
        ]
        back = np.arctan2(*FINGER[name][0]) - turned
        turn = np.array([[np.cos(back), -np.sin(back)], [np.sin(back), np.cos(back)]])
        elbow = OUTER + turn @ ELBOW + 4 * np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
        points = 1e-3 * (np.concatenate([bar, elbow]) - [0.0, front])
        assert outside(points, gripper.boxes_at(opening)) < 0.001


def test_links_go_their_share_of_the_pad_s_way():
    """A slow twin in the palm's frame, where only fingers and links move."""
    bar = Boxes.of(((0.0, 0.004, -0.05), (0.01, 0.002, 0.01)))
    rows = ((0.0, 0.150), (0.03, 0.148), (0.08, 0.130))
    tip = Boxes.of(((0.0, 0.01, 0.0), (0.01, 0.01, 0.01)))
    palm = Boxes.of(((0.0, 0.0, -0.1), (0.02, 0.04, 0.01)))
    gripper = Gripper("twin", 0.08, (0.02, 0.02), tip, palm, 40.0, "", bar, np.array([0.3]), rows)

    def in_palm(opening: float, boxes: Boxes, index: int) -> np.ndarray:
        x, y, z = boxes.center[index]
        return np.array([x, y, z + flange(gripper, opening)])

    pad_open = in_palm(0.08, gripper.fingers_at(0.08), 0)
    link_open = in_palm(0.08, gripper.body_at(0.08), 0)
    assert link_open == pytest.approx([0.0, 0.004 + 0.04, 0.130 - 0.05])
    for opening in (0.0, 0.01, 0.03, 0.05, 0.08):
        way = in_palm(opening, gripper.fingers_at(opening), 0) - pad_open
        body = gripper.body_at(opening)
        assert in_palm(opening, body, 0) == pytest.approx(link_open + 0.3 * way)
        assert in_palm(opening, body, 1) == pytest.approx((link_open + 0.3 * way) * [1, -1, 1])
        assert in_palm(opening, body, 2) == pytest.approx([0.0, 0.0, 0.130 - 0.1])


# ── mount ──────────────────────────────────────────────────────────────────────────────────────
def test_mount_is_linear_between_rows_and_constant_beyond(tmp_path):
    rows = "mount = [[0, 0.12], [0.04, 0.11], [0.08, 0.09]]\n"
    gripper = load_gripper(write(tmp_path, rows + GOOD))
    assert [gripper.mount_at(w) for w in (-0.01, 0.0, 0.02, 0.04, 0.06, 0.08, 0.1)] == pytest.approx(
        [0.12, 0.12, 0.115, 0.11, 0.10, 0.09, 0.09]
    )


def test_one_row_is_for_every_opening(tmp_path):
    gripper = load_gripper(write(tmp_path, "mount = [[0.0, 0.1034]]\n" + GOOD))
    assert gripper.mount_at(0.0) == gripper.mount_at(0.08) == 0.1034
    assert gripper.body_at(0.0).center[0].tolist() == gripper.body.center[0].tolist()


def test_without_a_mount_it_is_unknown_and_the_palm_stays(tmp_path):
    gripper = load_gripper(write(tmp_path, GOOD))
    assert gripper.mount_at(0.03) is None
    assert gripper.body_at(0.0).center[0].tolist() == gripper.body.center[0].tolist()


# ── boxes for collision ────────────────────────────────────────────────────────────────────────
def test_opening_moves_the_fingers_by_half_each():
    gripper = load_gripper("panda")
    closed, opened = gripper.fingers_at(0.0), gripper.fingers_at(0.05)
    shift = opened.center - closed.center
    assert np.allclose(shift, np.sign(closed.center[:, 1:2]) * [0, 0.025, 0])
    assert np.allclose(opened.half, closed.half)


def test_sweeping_lengthens_backwards_only():
    gripper = load_gripper("panda")
    still, swept = gripper.boxes_at(0.05), swept_back(gripper.boxes_at(0.05), 0.1)
    assert np.allclose(swept.center + swept.half, still.center + still.half)
    assert np.allclose(swept.center - swept.half, still.center - still.half - [0, 0, 0.1])


# ── files ──────────────────────────────────────────────────────────────────────────────────────
def test_a_path_works_like_a_name(tmp_path):
    gripper = load_gripper(write(tmp_path, GOOD + LINK))
    assert gripper.name == "test"
    assert gripper.max_force == 40.0
    assert gripper.follow.tolist() == [0.5]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('name = "test"', ""), "'name'"),
        (("max_width = 0.08", "max_width = -1"), "'max_width'"),
        (("max_width = 0.08", "max_width = true"), "'max_width'"),
        (("max_width = 0.08", "max_width = inf"), "'max_width'"),
        (("pad_size = [0.02, 0.02]", "pad_size = [0.02]"), "'pad_size[1]' is missing: write one"),
        (
            ("pad_size = [0.02, 0.02]", "pad_size = [0.02, 0]"),
            "'pad_size[1]' is 0: write one positive number",
        ),
        (("max_force = 40", 'max_force = "40"'), "'max_force'"),
        (("max_force = 40", "max_force = 40\nmax_witdh = 3"), "max_witdh"),
        (("max_force = 40", "max_force = 40\nmount = 0.1"), "'mount'"),
        (
            ("max_force = 40", "max_force = 40\nmount = [0.1, 0.2]"),
            "'mount[0]' is 0.1: write a row [opening, distance]",
        ),
        (
            ("max_force = 40", "max_force = 40\nmount = [[0.0, 0.1, 0.2]]"),
            "'mount[0]' is [0.0, 0.1, 0.2]: write a row [opening",
        ),
        (
            ("max_force = 40", "max_force = 40\nmount = [[0.0, -0.1]]"),
            "'mount[0][1]' is -0.1: write a positive distance",
        ),
        (("max_force = 40", "max_force = 40\nmount = [[0.08, 0.1], [0, 0.2]]"), "ascending"),
        (("max_force = 40", "max_force = 40\nmount = [[0, 0.1], [0, 0.2], [0.08, 0.1]]"), "ascending"),
        (("max_force = 40", "max_force = 40\nmount = [[0, 0.1], [0.04, 0.2]]"), "max_width, 0.08"),
        (("max_force = 40", "max_force = 40\nmount = [[0.01, 0.1], [0.08, 0.2]]"), "start with 0"),
        (("half_extents = [0.01, 0.005, 0.02]", "half_extents = [0.01, 0, 0.02]"), "half_extents"),
        (
            ("half_extents = [0.01, 0.005, 0.02]", "size = 3"),
            "unknown keys size in finger[0]: use center, half_extents",
        ),
        (("[[body]]", "[[palm]]"), "palm"),
        (("center = [0.0, 0.005, -0.01]", "center = [0.0, 0.02, -0.01]"), "y = 15.0 mm"),
        (("center = [0.0, 0.0, -0.06]", "center = [0.0, 0.0, 0.06]"), "past the fingertips"),
        (("[[body]]", "[body"), "cannot be read as TOML"),
        (("follow = 0.5", ""), "'link[0].follow' is missing: write the fraction"),
        (("follow = 0.5", "follow = 1.0"), "a [[finger]]"),
        (("follow = 0.5", "follow = 0"), "'link[0].follow' is 0: write the fraction"),
        (("center = [0.0, 0.01, -0.03]", "center = [0.0, -0.03, -0.03]"), "other finger when closed"),
    ],
)
def test_wrong_files_are_refused_by_name_and_key(tmp_path, change, says):
    assert change[0] in GOOD + LINK
    path = write(tmp_path, (GOOD + LINK).replace(*change))
    with pytest.raises(GripperError) as error:
        load_gripper(path)
    assert str(path) in str(error.value)
    assert says in str(error.value)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(GripperError, match="panda"):
        load_gripper("three_fingers")


# ── the drawing ────────────────────────────────────────────────────────────────────────────────
def drawn_in(picture: np.ndarray, color: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.nonzero(np.abs(picture.astype(int) - color).sum(axis=2) < 12)
    return rows, columns


@pytest.mark.parametrize("name", SHIPPED)
def test_the_drawing_is_to_scale(name):
    gripper, size = load_gripper(name), 460
    sheet = gripper_sheet(gripper, size=size)
    assert sheet.shape == (size, 3 * size, 3)
    opened, closed = sheet[:, :size], sheet[:, size : 2 * size]
    # The scale bar of 50 mm is the only ink in the lowest rows.
    bar = np.unique(drawn_in(opened[int(0.955 * size) :], (236, 238, 242))[1])
    scale = len(bar) / 0.050
    _, columns = drawn_in(opened, (230, 159, 0))
    apart = columns[columns > size / 2].mean() - columns[columns < size / 2].mean()
    assert apart / scale == pytest.approx(gripper.max_width, rel=0.02)
    _, columns = drawn_in(closed, (230, 159, 0))
    assert np.abs(columns + 0.5 - size / 2).max() < 4


# ── the page ───────────────────────────────────────────────────────────────────────────────────
def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def beside_my_gripper(tmp_path, monkeypatch):
    """The page's example, saved as it says."""
    (tmp_path / "my_gripper.toml").write_text(blocks("toml")[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_s_example_loads_and_so_does_its_link(beside_my_gripper):
    assert load_gripper("my_gripper.toml").mount_at(0.02) == 0.112
    example, link = blocks("toml")
    assert len(load_gripper(write(beside_my_gripper, f"{example}\n{link}")).link) == 1


def test_the_page_s_python_runs(beside_my_gripper, capsys):
    names: dict[str, object] = {}
    for code in blocks("python"):
        exec(code, names)
    assert (beside_my_gripper / "my_gripper.png").stat().st_size > 1000
    assert "-0.112" in capsys.readouterr().out


@pytest.mark.parametrize("line", [line for code in blocks("sh") for line in code.splitlines()])
def test_the_page_s_commands_take_the_gripper(beside_my_gripper, capsys, line):
    """There is nothing to grasp here: the commands have to get as far as to miss that."""
    with pytest.raises(SystemExit) as stop:
        cli(line.split()[1:])
    assert stop.value.code == 2
    printed = capsys.readouterr().err
    assert re.search("capture|run.json|grasps.json", printed), printed
    assert "gripper" not in printed


def test_the_page_reports_every_shipped_gripper():
    page = PAGE.read_text(encoding="utf-8")
    for name in SHIPPED:
        gripper = load_gripper(name)
        (row,) = re.findall(rf"^\| `{name}` \|.*$", page, re.MULTILINE)
        opens, closed = flange(gripper, gripper.max_width), flange(gripper, 0.0)
        behind = f"{1e3 * opens:.1f}" if opens == closed else f"{1e3 * opens:.1f} … {1e3 * closed:.1f}"
        assert f"| {1e3 * gripper.max_width:.0f} mm | {gripper.max_force:.0f} N | {behind} mm |" in row


def test_the_page_s_messages_are_reported(tmp_path):
    files = ("grasping/grippers.py", "core/documents.py")
    source = "".join((ROOT / "point2act" / name).read_text(encoding="utf-8") for name in files)
    source = re.sub(r'"\s+f?"', "", source)
    reported = re.findall(r"^\| `([^`]+)` \| (?![0-9])", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    messages = [words for words in reported if words not in SHIPPED]
    assert len(messages) >= 6
    for words in messages:
        assert words in source
