"""Why there are no grasps: every reason is reached, and what it says is lacking is what is lacking."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import reference_grasps as ref

from point2act.core.types import NoAnswer, OrientedBox
from point2act.grasping.antipodal.avoid import Avoid
from point2act.grasping.antipodal.boundary import SolidPoints, surface_points
from point2act.grasping.antipodal.contact_pairs import ContactPairs, PairConfig, find_contact_pairs
from point2act.grasping.antipodal.failure_reasons import why_none
from point2act.grasping.antipodal.plan import GraspConfig, plan_grasps
from point2act.grasping.antipodal.pose_sampling import PoseCounts, PoseSamplingConfig, sample_free_poses
from point2act.grasping.grippers import Boxes, Gripper, load_gripper

GRIPPERS = {name: load_gripper(name) for name in ("panda", "robotiq_2f85")}
PANDA = GRIPPERS["panda"]
CONFIG = GraspConfig(pairs=PairConfig(max_pairs=40))
TOP = (0.1, 0.05, 0.075)
"""Near the top of what stands 8 cm high."""

every_gripper = pytest.mark.parametrize("name", GRIPPERS)


def refused(solids, point=TOP, name="panda", config=CONFIG, hidden=None, **options) -> NoAnswer:
    volume = ref.exact_volume(solids, point, hidden=hidden)
    region = ref.region_at(point)
    grasps, why = plan_grasps(
        volume, region, GRIPPERS[name], config=config, rng=np.random.default_rng(0), **options
    )
    assert grasps == ()
    assert why is not None
    return why


def number(pattern: str, detail: str) -> float:
    """The one number of a sentence, in its unit."""
    found = re.search(pattern.replace("#", r"(-?\d+)"), detail)
    assert found, detail
    return float(found[1])


# ── nothing to hold ────────────────────────────────────────────────────────────────────────────
def test_nothing_near_says_how_far_the_next_surface_is():
    why = refused([ref.FLOOR], (0.1, 0.05, 0.07))
    assert why.reason == "no_geometry"
    assert number("within # mm", why.detail) == 1e3 * max(CONFIG.pairs.start_radii)
    assert number("the nearest is # mm away", why.detail) == pytest.approx(70, abs=1.5)
    assert "action point, there is none" in refused([ref.FLOOR], (0.0, 0.0, 0.5)).detail


def test_a_bare_table_offers_no_contacts():
    why = refused([ref.FLOOR], (0.1, 0.05, 0.0))
    assert why.reason == "no_contact_pair"
    assert "nothing stands out from the table" in why.detail


def test_slanted_sides_say_how_slanted():
    # A ridge whose two sides lean by 45 degrees: the slant of the level chords across it.
    ridge = ref.Solid("box", (0.3, 0.03, 0.03), ref.tilted(0.1, 0.05, 0.0, roll=np.pi / 4))
    volume = ref.exact_volume([ref.FLOOR, ridge], (0.1, 0.05, 0.03))
    surface = surface_points(volume, np.zeros(3), config=CONFIG.boundary)
    steep = PairConfig(max_pairs=40, ray_jitter=0.0, min_chord_cosine=0.8)
    pairs = find_contact_pairs(
        volume, surface, np.zeros(3), radius=0.03, max_width=0.08, config=steep, rng=np.random.default_rng(0)
    )
    assert len(pairs) == 0
    assert np.degrees(pairs.least_slant) == pytest.approx(45, abs=6)
    some = replace(pairs, tried=100, endless=40)
    nothing = SolidPoints(np.zeros((0, 3)), np.zeros(0, bool), np.zeros(0))
    why = why_none(volume, nothing, some, PoseCounts(), PANDA, config=GraspConfig(pairs=steep))
    assert why.reason == "no_contact_pair"
    off = number("best pair is # degrees off", why.detail)
    assert off == pytest.approx(np.degrees(pairs.least_slant), abs=0.51)
    assert number("friction holds #", why.detail) == pytest.approx(
        np.degrees(np.arctan(steep.friction)), abs=0.51
    )
    assert why.counts["rays"] == 100
    assert why.counts["rays_into_unseen_space"] == 40


# ── too wide ───────────────────────────────────────────────────────────────────────────────────
@every_gripper
@pytest.mark.parametrize("width", [0.085, 0.1])
def test_too_wide_says_by_how_much(name, width):
    block = ref.Solid("box", (width / 2, 0.2, 0.04), ref.at(0.1, 0.05, 0.04))
    why = refused([ref.FLOOR, block], name=name)
    span = GRIPPERS[name].max_width - 2 * CONFIG.pairs.min_clearance
    assert why.reason == "too_wide"
    assert number("too wide by # mm", why.detail) == pytest.approx(1e3 * (width - span), abs=1.5)
    assert number("contact pair is # mm", why.detail) == pytest.approx(1e3 * width, abs=1.5)
    assert number("gripper spans # mm", why.detail) == pytest.approx(1e3 * span, abs=0.5)


def test_what_is_as_much_narrower_is_held():
    block = ref.Solid("box", (0.04, 0.2, 0.04), ref.at(0.1, 0.05, 0.04))
    excess = number("too wide by # mm", refused([ref.FLOOR, block]).detail)
    slim = replace(block, size=(0.04 - (excess + 1) / 2e3, 0.2, 0.04))
    volume = ref.exact_volume([ref.FLOOR, slim], TOP)
    grasps, _ = plan_grasps(volume, ref.region_at(TOP), PANDA, config=CONFIG, rng=np.random.default_rng(0))
    assert grasps


def test_a_wall_seen_from_one_side_says_that_views_would_help():
    wall = ref.Solid("box", (0.2, 0.2, 0.2), ref.at(0.3, 0.05, 0.2))
    why = refused([ref.FLOOR, wall], (0.1, 0.05, 0.2), hidden=lambda points: points[:, 0] > 0.104)
    assert why.reason == "too_wide"
    assert "views from behind" in why.detail
    reach = number("wider than # mm", why.detail)
    assert reach == pytest.approx(1.5 * 1e3 * PANDA.max_width, abs=1)


# ── nowhere to go: scenes ──────────────────────────────────────────────────────────────────────
def walls(gap: float, *, top: float, thick: float = 0.02) -> list[ref.Solid]:
    """A block 30 x 40 mm wide, and a frame about it at a distance."""
    x, y = 0.015 + gap, 0.02 + gap
    return [
        ref.Solid("box", (0.015, 0.02, 0.04), ref.at(0.1, 0.05, 0.04)),
        *(
            ref.Solid("box", (thick, y + 2 * thick, top / 2), ref.at(0.1 + s * (x + thick), 0.05, top / 2))
            for s in (-1, 1)
        ),
        *(
            ref.Solid("box", (x, thick, top / 2), ref.at(0.1, 0.05 + s * (y + thick), top / 2))
            for s in (-1, 1)
        ),
    ]


def test_a_narrow_slot_stops_the_fingers():
    why = refused([ref.FLOOR, *walls(0.012, top=0.08)])
    assert why.reason == "all_collide"
    tried, fingers = why.counts["poses"], why.counts["fingers"]
    assert 0.5 * tried < fingers <= tried
    assert "with a finger" in why.detail
    assert number("the nearest miss lacks # mm", why.detail) > 0


def test_what_is_hidden_is_not_reached_into():
    # Seen along a gap on top only: all that is deeper than 2 mm beside the block was never seen.
    block = ref.Solid("box", (0.015, 0.02, 0.04), ref.at(0.1, 0.05, 0.04))
    why = refused(
        [ref.FLOOR, block],
        hidden=lambda points: (block.distance(points) > 0.004) & (points[:, 2] < 0.2),
    )
    assert why.reason == "all_collide"
    assert why.counts["unseen_space"] > 0


def test_what_is_to_be_avoided_is_named_with_its_count():
    block = ref.Solid("box", (0.015, 0.02, 0.04), ref.at(0.1, 0.05, 0.04))
    everywhere = OrientedBox(np.array(TOP), np.eye(3), np.full(3, 0.1))
    elsewhere = OrientedBox(np.array([0.6, 0.5, 0.0]), np.eye(3), np.full(3, 0.01))
    why = refused([ref.FLOOR, block], avoid=(Avoid("the wet paint", everywhere), Avoid("the cat", elsewhere)))
    assert why.reason == "all_collide"
    assert why.counts["avoid: the wet paint"] > 0
    assert "avoid: the cat" not in why.counts


# ── nowhere to go: how much is lacking ─────────────────────────────────────────────────────────
WAYS = PoseSamplingConfig()
OPENS = PairConfig()
WIDTH = 0.02


def one_pair(height: float) -> ContactPairs:
    """Level contacts at a height, closing along y, where the cameras' and the table's up is z."""
    contacts = np.array([[[0, -WIDTH / 2, height], [0, WIDTH / 2, height]]])
    normals = np.array([[[0, -1.0, 0], [0, 1.0, 0]]])
    return ContactPairs(contacts, normals, np.ones((1, 2), bool), 1, 0, 0, 0.0, np.zeros(0))


def lacking(
    points: np.ndarray, height: float = 0.3, gripper: Gripper = PANDA, ways: PoseSamplingConfig = WAYS
) -> str:
    """What is reported of one pair among points that are not the object, over a table at z = 0."""
    return _judged(points, height, gripper, ways)[1]


def free(
    points: np.ndarray, height: float = 0.3, gripper: Gripper = PANDA, ways: PoseSamplingConfig = WAYS
) -> int:
    """How many poses about the pair are free."""
    return _judged(points, height, gripper, ways)[0]


def _judged(points, height, gripper, ways) -> tuple[int, str]:
    volume = ref.exact_volume([ref.FLOOR], (0.0, 0.0, 0.0), r=3)
    solid = SolidPoints(points, np.zeros(len(points), bool), np.ones(len(points)))
    poses, counts = sample_free_poses(
        volume, solid, one_pair(height), gripper, clearance=OPENS.clearance, config=ways
    )
    why = why_none(
        volume, solid, one_pair(height), counts, gripper, config=GraspConfig(pairs=OPENS, poses=ways)
    )
    assert why.reason == "all_collide"
    return len(poses), why.detail


NOTHING = np.zeros((0, 3))


@every_gripper
@pytest.mark.parametrize("height", [0.001, 0.002])
def test_the_clearance_lacking_to_the_table(name, height):
    gripper = GRIPPERS[name]
    # Straight down, the contacts at the pads' front edge less ``tip``.
    front = gripper.finger.high[:, 2].max()
    shallowest = WAYS.min_pad_overlap - gripper.pad_size[1] / 2
    expected = front + shallowest + WAYS.table_margin - height
    lacks = number("lacks # mm of clearance to the table", lacking(NOTHING, height, gripper))
    assert lacks == pytest.approx(1e3 * expected, abs=0.6)
    assert free(NOTHING, height, gripper) == 0
    assert free(NOTHING, height + (lacks + 0.6) / 1e3, gripper) > 0


def posts(y: float) -> np.ndarray:
    """Two faces, one on each side, so wide and high that no gripper gets past."""
    x, z = (v.ravel() for v in np.meshgrid(np.arange(-0.12, 0.121, 0.006), np.arange(0.2, 0.5, 0.006)))
    return np.concatenate([np.stack([x, np.full_like(x, side * y), z], axis=1) for side in (-1, 1)])


SLIM = replace(PANDA, body=Boxes(PANDA.body.center, np.tile([0.01, 0.015, 0.03], (len(PANDA.body), 1))))
"""Its palm is narrower than its fingers, so that only they are in the way."""


@pytest.mark.parametrize("deep", [0.0015, 0.004])
def test_the_clearance_lacking_with_a_finger_is_what_frees_it(deep):
    outer = SLIM.fingers_at(WIDTH + 2 * OPENS.clearance).high[:, 1].max()
    y = outer - deep
    lacks = number(
        "lacks # mm of clearance to something beside the object, with a finger",
        lacking(posts(y), gripper=SLIM),
    )
    assert lacks == pytest.approx(1e3 * (deep + WAYS.finger_margin), abs=0.6)
    assert free(posts(y), gripper=SLIM) == 0
    assert free(posts(y + (lacks - 1.5) / 1e3), gripper=SLIM) == 0
    assert free(posts(y + (lacks + 0.6) / 1e3), gripper=SLIM) > 0


@pytest.mark.parametrize("deep", [0.001, 0.004])
def test_the_clearance_lacking_with_the_palm(deep):
    # A ceiling with a slot that lets the fingers through but not the palm; straight down only.
    down = replace(WAYS, min_downward_cosine=0.99, min_viewing_cosine=1.1)
    opening = WIDTH + 2 * OPENS.clearance
    wide = PANDA.fingers_at(opening).high[:, 1].max() + 0.01
    front = PANDA.body.high[:, 2].max()  # behind the pads, so negative
    shallowest = WAYS.min_pad_overlap - PANDA.pad_size[1] / 2
    top = 0.3 - shallowest - front  # where the palm's front is, straight down
    x, y = (v.ravel() for v in np.meshgrid(*[np.arange(-0.15, 0.151, 0.005)] * 2))
    plate = np.stack([x, y, np.full_like(x, top + deep)], axis=1)[np.abs(y) > wide]
    lacks = number("lacks # mm of clearance to something, with the palm", lacking(plate, ways=down))
    assert lacks == pytest.approx(1e3 * (deep + WAYS.palm_margin), abs=0.6)
    assert free(plate, ways=down) == 0
    lower = plate - [0, 0, (lacks + 0.6) / 1e3]
    assert free(lower, ways=down) > 0


def test_a_pose_that_fits_is_no_miss():
    assert free(NOTHING) > 0
    assert "nearest miss" not in lacking(NOTHING)
