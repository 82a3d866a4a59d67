"""The grasp head on analytic bodies: what it returns holds, and it says why when it returns nothing."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest
import reference_grasps as ref
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from point2act.core.geometry import transform_points
from point2act.core.types import Grasp, NoAnswer, OrientedBox, Query
from point2act.grasping.antipodal.avoid import (
    Avoid,
    AvoidConfig,
    avoid_factor,
    avoid_region,
    box_box_distances,
)
from point2act.grasping.antipodal.boundary import BoundaryConfig, SolidPoints, surface_points
from point2act.grasping.antipodal.collision import (
    approach_opening,
    box_distances,
    closing_boxes,
    depth_inside,
    hits,
    nearest,
    nearest_on_path,
    plane_heights,
    swept_back,
    within,
)
from point2act.grasping.antipodal.contact_pairs import PairConfig, find_contact_pairs, march_rays
from point2act.grasping.antipodal.evaluation import EvaluationConfig
from point2act.grasping.antipodal.plan import GraspConfig, plan_grasps
from point2act.grasping.antipodal.pose_sampling import PoseSamplingConfig, sample_free_poses
from point2act.grasping.antipodal.score import PreferenceConfig, ScoreConfig, quality
from point2act.grasping.antipodal.terms import GraspTerms
from point2act.grasping.antipodal.volume import LocalVolume, solid_field
from point2act.grasping.grippers import Boxes, load_gripper
from point2act.grasping.tsdf import fuse_local

GRIPPERS = {name: load_gripper(name) for name in ("panda", "robotiq_2f85")}
CONFIG = GraspConfig(pairs=PairConfig(max_pairs=60))  # fewer pairs than by default: quicker

BODIES = {
    "box": (ref.Solid("box", (0.02, 0.03, 0.04), ref.at(0.1, 0.05, 0.04, yaw=0.3)), (0.1, 0.05, 0.075)),
    "cylinder": (ref.Solid("cylinder", (0.025, 0.06), ref.at(0.1, 0.05, 0.06)), (0.1, 0.05, 0.11)),
    "bar": (ref.Solid("box", (0.003, 0.05, 0.03), ref.at(0.1, 0.05, 0.03, yaw=0.5)), (0.1, 0.05, 0.055)),
    "ball": (ref.Solid("sphere", (0.028,), ref.at(0.1, 0.05, 0.028)), (0.1, 0.05, 0.045)),
}


@cache
def volume_of(name: str) -> LocalVolume:
    body, point = BODIES[name]
    return fuse_local(*ref.capture([ref.FLOOR, body], ref.ring(point, 10)), np.array(point))


@cache
def grasps_of(name: str, gripper: str) -> tuple[Grasp, ...]:
    grasps, why = plan_grasps(
        volume_of(name),
        ref.region_at(BODIES[name][1]),
        GRIPPERS[gripper],
        config=CONFIG,
        rng=np.random.default_rng(0),
    )
    assert why is None
    return grasps


def plan(solids, point, poses=None, gripper="panda", **options) -> tuple[tuple[Grasp, ...], NoAnswer | None]:
    poses = ref.ring(point, 10) if poses is None else poses
    volume = fuse_local(*ref.capture(solids, poses), np.array(point, float))
    return plan_grasps(
        volume,
        ref.region_at(point),
        GRIPPERS[gripper],
        config=CONFIG,
        rng=np.random.default_rng(0),
        **options,
    )


every_body = pytest.mark.parametrize("name", BODIES)
every_gripper = pytest.mark.parametrize("gripper", GRIPPERS)


# ── what a returned grasp promises ─────────────────────────────────────────────────────────────
@every_body
@every_gripper
def test_there_are_grasps_best_first(name, gripper):
    grasps = grasps_of(name, gripper)
    assert 5 <= len(grasps) <= CONFIG.max_grasps
    scores = [grasp.score for grasp in grasps]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= v <= 1 for g in grasps for v in (g.score, g.quality, g.relevancy))
    assert grasps[0].quality > 0.85


@every_body
@every_gripper
def test_poses_are_rigid_and_close_along_the_contacts(name, gripper):
    for grasp in grasps_of(name, gripper):
        T = grasp.T_world_gripper
        assert np.allclose(T[:3, :3].T @ T[:3, :3], np.eye(3), atol=1e-6)
        assert np.linalg.det(T[:3, :3]) == pytest.approx(1.0)
        assert np.array_equal(T[3], [0, 0, 0, 1])
        line = grasp.contacts[1] - grasp.contacts[0]
        assert np.linalg.norm(line) == pytest.approx(grasp.width)
        assert abs(line @ T[:3, 1]) == pytest.approx(grasp.width, rel=1e-6)
        local = (grasp.contacts - T[:3, 3]) @ T[:3, :3]
        # Both contacts on the pads: level with them, and as far to one side as to the other.
        assert np.abs(local[:, 0]).max() < 1e-6
        assert np.abs(local[:, 2]).max() <= GRIPPERS[gripper].pad_size[1] / 2 + 1e-6
        assert local[:, 1].sum() == pytest.approx(0, abs=1e-6)


@every_body
@every_gripper
def test_contacts_are_antipodal_points_of_the_body(name, gripper):
    body, _ = BODIES[name]
    # Normals are averaged over 2 mm: allow for 6 degrees beside the cone, and a step in beside edges.
    cone = np.cos(np.arctan(CONFIG.pairs.friction) + np.radians(6))
    squarely = []
    for grasp in grasps_of(name, gripper):
        assert np.abs(body.distance(grasp.contacts)).max() < 1.5e-3
        axis = (grasp.contacts[1] - grasp.contacts[0]) / grasp.width
        inner = grasp.contacts + np.outer([1, -1], axis) * 0.4 * min(grasp.width, 0.006)
        normals = body.normals(inner)
        squarely.append(-normals[0] @ axis > cone and normals[1] @ axis > cone)
    # Right at an edge the true normal is the other face's, while the pads hold what lies below it; and
    # chords across edges come after square grasps where there is space for more.
    assert grasps_of(name, gripper)[0].terms["alignment"] > 0.85
    assert np.mean(squarely) > 0.3


@every_body
@every_gripper
def test_the_gripper_touches_nothing_on_its_way(name, gripper):
    body, _ = BODIES[name]
    for grasp in grasps_of(name, gripper)[:8]:
        opening = approach_opening(GRIPPERS[gripper], grasp.width, CONFIG.pairs.clearance)
        assert grasp.approach_width == opening
        assert true_distance(grasp, gripper, opening, [ref.FLOOR, body]) > 0
        assert CONFIG.poses.finger_margin <= grasp.approach_clearance <= opening / 2 - grasp.width / 2 + 1e-3


def true_distance(grasp: Grasp, gripper: str, opening: float, solids: list[ref.Solid]) -> float:
    """Return the distance of an open gripper on its approach to true solids."""
    boxes = swept_back(GRIPPERS[gripper].boxes_at(opening), CONFIG.poses.approach)
    points = np.concatenate([ref.filled(c, h) for c, h in zip(boxes.center, boxes.half, strict=True)])
    return float(ref.scene_distance(solids, transform_points(grasp.T_world_gripper, points)).min())


@every_body
@every_gripper
def test_what_is_free_fully_open_is_marked(name, gripper):
    solids = [ref.FLOOR, BODIES[name][0]]
    for grasp in grasps_of(name, gripper)[:8]:
        distance = true_distance(grasp, gripper, GRIPPERS[gripper].max_width, solids)
        if grasp.free_fully_open:
            assert distance > 0
        else:  # within the margin and the error of the volume
            assert distance < CONFIG.poses.finger_margin + 1e-3


@pytest.mark.parametrize(("gap", "free"), [(0.035, False), (0.10, True)])
def test_walls_beside_the_object_leave_only_the_planned_opening(gap, free):
    """A Panda's fingers reach 31 mm beyond contacts 20 mm apart, and 55 mm beyond them fully open."""
    bar, point = ref.Solid("box", (0.05, 0.01, 0.03), ref.at(0.1, 0.05, 0.03)), (0.1, 0.05, 0.05)
    beside = 0.05 + np.array([-1, 1]) * (0.01 + 0.003 + gap)
    walls = [ref.Solid("box", (0.12, 0.003, 0.04), ref.at(0.1, y, 0.04)) for y in beside.tolist()]
    grasps, why = exactly([ref.FLOOR, bar, *walls], point)
    assert why is None
    across = [g for g in grasps if abs(g.T_world_gripper[1, 1]) > 0.99 and g.T_world_gripper[2, 2] < -0.99]
    assert across
    assert {grasp.free_fully_open for grasp in across} == {free}
    factor = 1.0 if free else CONFIG.evaluation.planned_opening_factor
    assert all(grasp.score <= factor * grasp.quality + 1e-9 for grasp in across)


@pytest.mark.parametrize(("noise", "gap", "margin"), [(0.0005, 0.10, 0), (0.008, 0.10, 1), (0.008, 0.035, 0)])
def test_it_opens_wider_by_the_noise_of_depth_where_that_is_free(noise, gap, margin):
    bar, point = ref.Solid("box", (0.05, 0.01, 0.03), ref.at(0.1, 0.05, 0.03)), (0.1, 0.05, 0.05)
    beside = 0.05 + np.array([-1, 1]) * (0.01 + 0.003 + gap)
    walls = [ref.Solid("box", (0.12, 0.003, 0.04), ref.at(0.1, y, 0.04)) for y in beside.tolist()]
    grasps, _ = exactly([ref.FLOOR, bar, *walls], point, noise=noise)
    across = [g for g in grasps if abs(g.T_world_gripper[1, 1]) > 0.99 and g.T_world_gripper[2, 2] < -0.99]
    assert across
    for grasp in across:
        clearance = CONFIG.pairs.clearance + margin * noise
        assert grasp.approach_width == approach_opening(GRIPPERS["panda"], grasp.width, clearance)
        opening = grasp.approach_width
        assert true_distance(grasp, "panda", opening, [ref.FLOOR, bar, *walls]) > 0


def test_a_gripper_of_the_planned_opening_is_free_fully_open_everywhere():
    bar, point = ref.Solid("box", (0.05, 0.01, 0.03), ref.at(0.1, 0.05, 0.03)), (0.1, 0.05, 0.05)
    widest = dataclasses.replace(CONFIG, pairs=PairConfig(max_pairs=60, clearance=0.08))
    grasps, why = exactly([ref.FLOOR, bar], point, config=widest)
    assert why is None
    assert all(grasp.free_fully_open for grasp in grasps)
    assert {grasp.approach_width for grasp in grasps} == {GRIPPERS["panda"].max_width}


@every_body
def test_grasps_differ_from_one_another(name):
    grasps = grasps_of(name, "panda")
    half_turn = np.diag([-1.0, -1.0, 1.0])
    for i, a in enumerate(grasps):
        for b in grasps[:i]:
            Ra, Rb = a.T_world_gripper[:3, :3], b.T_world_gripper[:3, :3]
            angle = min(Rotation.from_matrix(Ra.T @ R).magnitude() for R in (Rb, Rb @ half_turn))
            apart = np.linalg.norm(a.T_world_gripper[:3, 3] - b.T_world_gripper[:3, 3])
            assert apart >= CONFIG.min_separation - 1e-9 or angle >= CONFIG.min_angle - 1e-6


@pytest.mark.parametrize(
    ("name", "widths"), [("box", (0.04, 0.06)), ("cylinder", (0.05,)), ("bar", (0.006,)), ("ball", (0.056,))]
)
def test_the_best_grasp_spans_flat_or_round_sides_squarely(name, widths):
    best = grasps_of(name, "panda")[0]
    assert min(abs(best.width - width) for width in widths) < (0.003 if name == "ball" else 0.0015)


@every_body
@every_gripper
def test_terms_are_reported_by_name(name, gripper):
    for grasp in grasps_of(name, gripper):
        assert list(grasp.terms) == [f.name for f in dataclasses.fields(GraspTerms)]
        assert all(0 <= value <= 1 for value in grasp.terms.values())
        row = GraspTerms(**{term: np.array([value]) for term, value in grasp.terms.items()})
        assert quality(row, CONFIG.evaluation.score.weights)[0] == pytest.approx(grasp.quality)
        assert grasp.score <= grasp.quality


# ── symmetry and repeatability ─────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("seed", [1, 2])
def test_a_moved_world_moves_the_grasps(seed):
    body, point = BODIES["box"]
    T = np.eye(4)
    T[:3, :3] = Rotation.random(random_state=np.random.RandomState(seed)).as_matrix()
    T[:3, 3] = [1.0, -2.0, 0.5]
    views, depths = ref.capture([ref.FLOOR, body], ref.ring(point, 10), T)
    region = ref.region_at(point, T)
    volume = fuse_local(views, depths, region.action_point)
    grasps, _ = plan_grasps(volume, region, GRIPPERS["panda"], config=CONFIG, rng=np.random.default_rng(0))
    best, expected = grasps[0], grasps_of("box", "panda")[0]
    assert best.score == pytest.approx(expected.score, abs=0.01)
    line = T[:3, :3] @ expected.T_world_gripper[:3, 1]
    assert abs(best.T_world_gripper[:3, 1] @ line) > 0.99
    place = transform_points(T, expected.contacts.mean(axis=0)[None])[0]
    assert np.linalg.norm(best.contacts.mean(axis=0) - place) < 0.008


def test_the_same_seed_gives_the_same_grasps():
    again, _ = plan_grasps(
        volume_of("bar"),
        ref.region_at(BODIES["bar"][1]),
        GRIPPERS["panda"],
        config=CONFIG,
        rng=np.random.default_rng(0),
    )
    for a, b in zip(again, grasps_of("bar", "panda"), strict=True):
        assert np.array_equal(a.T_world_gripper, b.T_world_gripper)
        assert a.score == b.score


def test_progress_is_reported():
    reported: list[tuple[int, int]] = []
    plan_grasps(
        volume_of("ball"),
        ref.region_at(BODIES["ball"][1]),
        GRIPPERS["panda"],
        config=CONFIG,
        rng=np.random.default_rng(0),
        progress=lambda done, total: reported.append((done, total)),
    )
    assert reported[-1][0] == reported[-1][1]
    assert [done for done, _ in reported[:3]] == [1, 2, 3]


# ── one side seen, neighbours, relevancy ───────────────────────────────────────────────────────
def test_unseen_sides_are_presumed_and_reported():
    block = ref.Solid("box", (0.02, 0.025, 0.05), ref.at(0.1, 0.05, 0.05))
    wall = ref.Solid("box", (0.01, 0.3, 0.3), ref.at(0.3, 0.05, 0.3))
    point = (0.08, 0.05, 0.06)
    pose = ref.look_at(np.array([-0.4, 0.05, 0.06]), np.array(point), np.array([0, 0, 1.0]))
    grasps, why = plan([ref.FLOOR, wall, block], point, [pose])
    assert why is None
    best = grasps[0]
    assert best.width == pytest.approx(0.05, abs=0.002)
    assert abs(best.T_world_gripper[1, 1]) > 0.98  # closes on the sides that no camera saw
    assert best.T_world_gripper[0, 2] > 0.5  # and comes from the front
    assert all(any(grasp.contacts_seen) for grasp in grasps)
    assert min(grasp.terms["seen"] for grasp in grasps) < 0.9  # pads hold what was only presumed
    for grasp in grasps:
        # The front face is at x = 80 mm; what is more than two voxels behind it was not seen.
        for contact, seen in zip(grasp.contacts, grasp.contacts_seen, strict=True):
            assert not seen or contact[0] < 0.085
    around, _ = plan([ref.FLOOR, block], point)
    assert all(all(grasp.contacts_seen) for grasp in around)
    assert min(grasp.terms["seen"] for grasp in around) > 0.9


def test_a_neighbour_turns_the_gripper():
    block = ref.Solid("box", (0.02, 0.02, 0.04), ref.at(0.1, 0.05, 0.04))
    for axis in (0, 1):
        offset = np.zeros(3)
        offset[axis] = 0.04
        sides = [
            ref.Solid("box", (0.01, 0.01, 0.05), ref.at(*(np.array([0.1, 0.05, 0.05]) + s * offset)))
            for s in (-1, 1)
        ]
        grasps, _ = plan([ref.FLOOR, block, *sides], (0.1, 0.05, 0.075))
        closing = [abs(grasp.T_world_gripper[axis, 1]) for grasp in grasps]
        assert closing[0] < 0.2
        assert max(closing) < 0.8  # from corner to corner at most


def test_relevancy_draws_the_grasp():
    body, point = BODIES["bar"]
    along = body.T_world_body[:3, 1]
    points = np.array(point) + np.linspace(-0.05, 0.05, 200)[:, None] * along - [0, 0, 0.01]
    for side in (-1, 1):
        values = (side * ((points - point) @ along) > 0.01).astype(float)
        grasps, _ = plan_grasps(
            volume_of("bar"),
            ref.region_at(point),
            GRIPPERS["panda"],
            config=CONFIG,
            relevancy=(points, values),
            rng=np.random.default_rng(0),
        )
        assert side * ((grasps[0].contacts.mean(axis=0) - point) @ along) > 0.005
        assert grasps[0].relevancy > 0.5


# ── what is low, thin, covered or crowded ──────────────────────────────────────────────────────
def exactly(solids, point, *, config=CONFIG, **options) -> tuple[tuple[Grasp, ...], NoAnswer | None]:
    """Grasps on a volume without the errors of depth images."""
    volume = ref.exact_volume(solids, point, obstacles=options.pop("obstacles", None))
    volume = dataclasses.replace(volume, noise=options.pop("noise", 0.0))
    rng = np.random.default_rng(0)
    return plan_grasps(volume, ref.region_at(point), GRIPPERS["panda"], config=config, rng=rng, **options)


@pytest.mark.parametrize("gripper", GRIPPERS)
def test_a_low_bar_on_the_table_is_grasped(gripper):
    bar = ref.Solid("box", (0.06, 0.007, 0.003), ref.at(0.1, 0.05, 0.003, yaw=0.2))
    grasps, why = plan([ref.FLOOR, bar], (0.1, 0.05, 0.006), gripper=gripper)
    assert why is None
    best = grasps[0]
    assert abs(best.T_world_gripper[:3, 1] @ bar.T_world_body[:3, 0]) < 0.3  # across, not along
    assert best.T_world_gripper[2, 2] < -0.7
    opening = approach_opening(GRIPPERS[gripper], best.width, CONFIG.pairs.clearance)
    boxes = GRIPPERS[gripper].boxes_at(opening)
    T = best.T_world_gripper
    assert plane_heights(T[None, :3, :3], T[None, :3, 3], boxes, np.array([0, 0, 1.0, 0]))[0] > 0


def test_a_stem_under_a_bowl_is_grasped():
    glass = [
        ref.Solid("cylinder", (0.03, 0.002), ref.at(0.1, 0.05, 0.002)),
        ref.Solid("cylinder", (0.004, 0.05), ref.at(0.1, 0.05, 0.05)),
        ref.Solid("cylinder", (0.035, 0.03), ref.at(0.1, 0.05, 0.13)),
    ]
    grasps, why = exactly([ref.FLOOR, *glass], (0.1, 0.05, 0.055))
    assert why is None
    for grasp in grasps:
        T = grasp.T_world_gripper
        boxes = swept_back(GRIPPERS["panda"].boxes_at(grasp.width + 2 * CONFIG.pairs.clearance), 0.1)
        for part in glass:
            local = (ref.shell_of(part) - T[:3, 3]) @ T[:3, :3]
            assert box_distances(local, boxes).min() > 0
    stem = [g for g in grasps if g.width < 0.012]
    assert stem
    assert np.abs(stem[0].contacts.mean(axis=0)[:2] - [0.1, 0.05]).max() < 0.003


def test_a_board_above_costs_score_and_is_reported():
    block, point = ref.Solid("box", (0.015, 0.02, 0.05), ref.at(0.1, 0.05, 0.05)), (0.1, 0.05, 0.08)
    x, y = (v.ravel() for v in np.meshgrid(np.arange(-0.1, 0.3, 0.004), np.arange(-0.15, 0.25, 0.004)))
    board = np.stack([x, y, np.full_like(x, 0.19)], axis=1)
    under, _ = exactly([ref.FLOOR, block], point, obstacles=board)
    open_, _ = exactly([ref.FLOOR, block], point)
    assert under
    assert all(grasp.lift_clearance == 0 for grasp in under)
    assert all(grasp.lift_clearance is None or grasp.lift_clearance > 0 for grasp in open_)
    blocked = CONFIG.evaluation.blocked_factor
    assert all(grasp.score <= blocked * grasp.quality + 1e-9 for grasp in under)
    assert under[0].score < open_[0].score
    # The board is refused for the way there, not for the way up: the gripper itself comes in under it.
    for grasp in under:
        T = grasp.T_world_gripper
        boxes = swept_back(GRIPPERS["panda"].boxes_at(grasp.width + 2 * CONFIG.pairs.clearance), 0.1)
        assert box_distances((board - T[:3, 3]) @ T[:3, :3], boxes).min() >= CONFIG.poses.table_margin


@pytest.mark.parametrize("clearance", [0.006, 0.012])
def test_closing_fingers_meet_nothing_else_first(clearance):
    bar, point = ref.Solid("box", (0.06, 0.01, 0.03), ref.at(0.1, 0.05, 0.03)), (0.1, 0.05, 0.05)
    post = ref.Solid("cylinder", (0.001, 0.035), ref.at(0.1, 0.066, 0.035))  # 5 mm beside it
    config = dataclasses.replace(CONFIG, pairs=PairConfig(max_pairs=60, clearance=clearance))
    inside = ref.filled(np.array([0.1, 0.066, 0.035]), np.array([0.0007, 0.0007, 0.035]), 0.002)

    def met(grasp: Grasp) -> bool:
        T, opening = grasp.T_world_gripper, grasp.width + 2 * clearance
        local = (inside - T[:3, 3]) @ T[:3, :3]
        swept = closing_boxes(GRIPPERS["panda"], grasp.width, opening)
        return (
            depth_inside(local, swept) > 0 or depth_inside(local, GRIPPERS["panda"].fingers_at(opening)) > 0
        )

    alone, _ = exactly([ref.FLOOR, bar], point, config=config)
    beside, why = exactly([ref.FLOOR, bar, post], point, config=config)
    assert any(met(grasp) for grasp in alone)
    assert why is None
    assert not any(met(grasp) for grasp in beside)


# ── preferred approaches ───────────────────────────────────────────────────────────────────────
def preferring(base=None, **prefer) -> Grasp:
    """The best grasp of a ball."""
    score = ScoreConfig(preference=PreferenceConfig(**prefer))
    config = dataclasses.replace(CONFIG, evaluation=EvaluationConfig(score=score))
    volume, region = volume_of("ball"), ref.region_at(BODIES["ball"][1])
    rng = np.random.default_rng(0)
    grasps, _ = plan_grasps(volume, region, GRIPPERS["panda"], base=base, config=config, rng=rng)
    return grasps[0]


@pytest.mark.parametrize(
    ("way", "prefer"),
    [
        ((0, 0, -1), {"from_above": 0.9}),
        ((1, 0, 0), {"direction": (1.0, 0.0, 0.0), "direction_weight": 0.9}),
        ((0, -1, 0), {"direction": (0.0, -1.0, 0.0), "direction_weight": 0.9}),
        ((1, 0, 0), {"away_from_base": 0.9, "base": np.array([-0.6, 0.05, 0.0])}),
        ((-1, 0, 0), {"away_from_base": 0.9, "base": np.array([0.8, 0.05, 0.3])}),
    ],
)
def test_a_preference_turns_the_approach(way, prefer):
    liked, plain = preferring(**prefer), grasps_of("ball", "panda")[0]
    assert liked.T_world_gripper[:3, 2] @ way >= plain.T_world_gripper[:3, 2] @ way - 1e-9
    assert liked.T_world_gripper[:3, 2] @ way > 0.5
    assert liked.score <= liked.quality


def test_a_base_without_a_preference_changes_nothing():
    there = preferring(base=np.array([-0.6, 0.05, 0.0]))
    assert np.array_equal(there.T_world_gripper, grasps_of("ball", "panda")[0].T_world_gripper)


# ── what is to be avoided ──────────────────────────────────────────────────────────────────────
HANDLE = ref.Solid("box", (0.012, 0.06, 0.012), ref.at(0.1, 0.0, 0.03))
HEAD = ref.Solid("box", (0.02, 0.015, 0.02), ref.at(0.1, 0.075, 0.03))
REST = ref.Solid("box", (0.006, 0.05, 0.009), ref.at(0.1, 0.0, 0.009))
HOLD = (0.1, 0.03, 0.042)
"""On the handle, 3 cm from the head."""


def box_of(solid: ref.Solid) -> OrientedBox:
    T = solid.T_world_body
    return OrientedBox(T[:3, 3], T[:3, :3].T, np.array(solid.size))


@cache
def hammer() -> LocalVolume:
    views, depths = ref.capture([ref.FLOOR, HANDLE, HEAD, REST], ref.ring(HOLD, 10))
    return fuse_local(views, depths, np.array(HOLD))


@cache
def hammer_grasps(*avoid: Avoid, margin: float = 0.02) -> tuple[tuple[Grasp, ...], NoAnswer | None]:
    return plan_grasps(
        hammer(),
        ref.region_at(HOLD),
        GRIPPERS["panda"],
        avoid=avoid,
        config=dataclasses.replace(CONFIG, evaluation=EvaluationConfig(avoid=AvoidConfig(margin=margin))),
        rng=np.random.default_rng(0),
    )


def to_box(grasp: Grasp, box: OrientedBox) -> float:
    """Distance of the gripper, on its way, from a box: by points that fill the box's surface."""
    opening = approach_opening(GRIPPERS["panda"], grasp.width, CONFIG.pairs.clearance)
    boxes = swept_back(GRIPPERS["panda"].boxes_at(opening), CONFIG.poses.approach)
    points = ref.filled(np.zeros(3), box.half_extents, 0.0015) @ box.axes + box.center
    T = grasp.T_world_gripper
    return float(box_distances((points - T[:3, 3]) @ T[:3, :3], boxes).min())


THE_HEAD = Avoid("the head of the hammer", box_of(HEAD))


def seen_head(sigma: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    """Points of the hammer, relevant as far as a model that points at the head errs."""
    points = np.concatenate([ref.filled(s.T_world_body[:3, 3], np.array(s.size)) for s in (HANDLE, HEAD)])
    away = np.linalg.norm(points - HEAD.T_world_body[:3, 3], axis=1)
    return points, 0.7 * np.exp(-0.5 * (away / sigma) ** 2)


def test_a_handover_leaves_the_dangerous_end_alone():
    free, _ = hammer_grasps()
    region = ref.region_at(HEAD.T_world_body[:3, 3])
    asked = avoid_region(Query("head", THE_HEAD.text, "avoid"), region, seen_head())
    careful, why = hammer_grasps(asked)
    assert why is None
    near = [np.mean([to_box(grasp, box_of(HEAD)) < 0.02 for grasp in grasps]) for grasps in (free, careful)]
    assert near[0] >= 0.5
    assert near[1] < 0.7 * near[0]
    assert to_box(careful[0], box_of(HEAD)) >= 0.02
    assert careful[0].score > 0.8 * free[0].score


def test_distances_to_what_is_avoided_are_reported():
    grasps, _ = hammer_grasps(THE_HEAD)
    assert len(grasps) >= CONFIG.sufficient_grasps
    for grasp in grasps:
        assert grasp.avoid_clearance == pytest.approx(to_box(grasp, box_of(HEAD)), abs=6e-4)
        assert grasp.score <= grasp.quality * avoid_factor(
            np.array([grasp.avoid_clearance]), config=CONFIG.evaluation.avoid
        )
    scores = [grasp.score for grasp in grasps]
    assert scores == sorted(scores, reverse=True)
    assert all(grasp.avoid_clearance is None for grasp in hammer_grasps()[0])


def test_what_is_far_away_changes_nothing_but_the_distance():
    far = OrientedBox(np.array([0.1, 0.5, 0.3]), np.eye(3), np.full(3, 0.02))
    there, _ = hammer_grasps(Avoid("the lamp", far))
    assert len(there) == len(hammer_grasps()[0])
    for a, b in zip(there, hammer_grasps()[0], strict=True):
        assert np.array_equal(a.T_world_gripper, b.T_world_gripper)
        assert a.score == b.score
        assert a.avoid_clearance is not None
        assert a.avoid_clearance > 0.1


def test_without_a_margin_only_touching_is_refused():
    grasps, _ = hammer_grasps(THE_HEAD, margin=0.0)
    assert min(grasp.avoid_clearance or 0.0 for grasp in grasps) < 0.02
    assert all(grasp.score > 0.1 for grasp in grasps if (grasp.avoid_clearance or 0.0) > 1e-6)


def test_when_all_would_touch_it_says_what():
    everywhere = OrientedBox(np.array(HOLD), np.eye(3), np.array([0.03, 0.2, 0.03]))
    elsewhere = OrientedBox(np.array([0.5, 0.5, 0.0]), np.eye(3), np.full(3, 0.01))
    grasps, why = hammer_grasps(Avoid("the wet paint", everywhere), Avoid("the cat", elsewhere))
    assert grasps == ()
    assert why is not None
    assert why.reason == "all_collide"
    assert why.counts["avoid: the wet paint"] > 0
    assert "avoid: the cat" not in why.counts


def test_what_is_avoided_is_not_held():
    # Between the fingers, so small that neither of them touches it.
    bead = OrientedBox(np.array([0.1, 0.0, 0.03]), np.eye(3), np.array([0.013, 0.06, 0.013]))
    grasps, _ = hammer_grasps(Avoid("the handle", bead))
    inside = [np.abs(g.contacts - bead.center) <= bead.half_extents for g in grasps]
    assert not any(contact.all(axis=1).any() for contact in inside)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_moved_world_moves_what_is_avoided(seed):
    T = np.eye(4)
    T[:3, :3] = Rotation.random(random_state=np.random.RandomState(seed)).as_matrix()
    T[:3, 3] = [1.0, -2.0, 0.5]
    middle = HEAD.T_world_body[:3, 3]
    region, spread = ref.region_at(middle), np.array([0.02, 0.015, 0.01])
    points = middle + spread * np.random.default_rng(seed).normal(size=(400, 3))
    values = np.ones(400)
    here = avoid_region(Query("head", "", "avoid"), region, (points, values)).box
    turned = ref.region_at(middle, T)
    there = avoid_region(Query("head", "", "avoid"), turned, (transform_points(T, points), values)).box
    assert there.half_extents == pytest.approx(here.half_extents)
    assert there.center == pytest.approx(transform_points(T, here.center[None])[0])
    assert np.abs(there.axes @ T[:3, :3] @ here.axes.T) == pytest.approx(np.eye(3), abs=1e-9)
    assert np.linalg.det(there.axes) == pytest.approx(1.0)


def test_an_avoided_region_holds_what_may_be_meant_and_no_more():
    points, values = seen_head(sigma=0.02)
    region = ref.region_at(HEAD.T_world_body[:3, 3])
    config = AvoidConfig(relevancy_fraction=0.25)
    box = avoid_region(Query("head", "the head", "avoid"), region, (points, values), config=config).box
    meant = points[values > config.relevancy_fraction * values.max()]
    inside = (np.abs((meant - box.center) @ box.axes.T) <= box.half_extents + 1e-9).all(axis=1)
    assert inside.mean() > 0.85
    far = np.linalg.norm(points - HEAD.T_world_body[:3, 3], axis=1) > 0.06
    assert not (np.abs((points[far] - box.center) @ box.axes.T) <= box.half_extents).all(axis=1).any()


@pytest.mark.parametrize("count", [0, 2, 40])
def test_without_relevant_points_the_region_is_avoided(count):
    region = ref.region_at((0.1, 0.2, 0.3))
    nothing = (np.tile([0.1, 0.2, 0.3], (count, 1)), np.zeros(count))
    assert avoid_region(Query("a", "a", "avoid"), region, nothing).box is region.box


@given(st.floats(0, 0.1), st.floats(0, 0.1))
def test_caution_grows_with_the_distance(one, other):
    config = AvoidConfig()
    low, high = avoid_factor(np.array([min(one, other), max(one, other)]), config=config)
    assert 0 <= low <= high <= 1
    assert avoid_factor(np.array([0.0, config.margin, np.inf]), config=config) == pytest.approx([0, 1, 1])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_box_gaps_match_the_nearest_of_many_points(seed):
    rng = np.random.default_rng(seed)
    rotations = Rotation.random(2, random_state=np.random.RandomState(seed)).as_matrix()
    origins, extents = rng.uniform(-0.1, 0.1, (2, 3)), rng.uniform(0.003, 0.05, 3)
    centers, half = rng.uniform(-0.05, 0.05, (2, 3, 3)), rng.uniform(0.005, 0.05, (3, 3))
    gaps = box_box_distances(rotations, origins, centers, half, extents)
    filled = ref.filled(np.zeros(3), extents, 0.003)
    for i in range(2):
        local = (filled - origins[i]) @ rotations[i]
        for j in range(3):
            slow = box_distances(local, Boxes(centers[i, j : j + 1], half[j : j + 1])).min()
            # The samples are at most 2.6 mm from any point of the box; the fast way errs to the far side.
            assert slow - 0.0027 <= gaps[i, j] <= slow + 0.001


# ── slow twins ─────────────────────────────────────────────────────────────────────────────────
coordinate = st.floats(-0.2, 0.2)
triple = st.tuples(coordinate, coordinate, coordinate)
extent = st.tuples(*[st.floats(0.001, 0.1)] * 3)


@given(st.lists(triple, min_size=1, max_size=5), st.lists(st.tuples(triple, extent), min_size=1, max_size=4))
def test_box_distances_match_the_twin(points, boxes):
    fast = box_distances(np.array(points), Boxes(*map(np.array, zip(*boxes, strict=True))))
    slow = [min(ref.box_distance(p, c, h) for c, h in boxes) for p in points]
    assert fast == pytest.approx(slow, abs=1e-12)


@given(st.integers(0, 10_000), st.integers(0, 300))
def test_the_nearest_is_the_least_of_all_distances(seed, count):
    rng = np.random.default_rng(seed)
    boxes = Boxes(rng.uniform(-0.05, 0.05, (3, 3)), rng.uniform(0.005, 0.03, (3, 3)))
    points = rng.uniform(-0.3, 0.3, (count, 3)) + rng.uniform(-0.3, 0.3, 3)
    assert nearest(points, boxes) == box_distances(points, boxes).min(initial=np.inf)


@given(st.integers(0, 10_000))
def test_hits_match_boxes_against_points(seed):
    rng = np.random.default_rng(seed)
    boxes = Boxes(rng.uniform(-0.05, 0.05, (3, 3)), rng.uniform(0.005, 0.03, (3, 3)))
    axis = rng.standard_normal(3)
    base = Rotation.align_vectors(axis[None], [[0, 1, 0]])[0]
    fan = np.array([(base * Rotation.from_euler("y", a)).as_matrix() for a in rng.uniform(0, 6, 4)])
    points, depths, margin = rng.uniform(-0.1, 0.1, (20, 3)), np.array([-0.006, 0.01]), 0.002
    center = rng.uniform(-0.1, 0.1, 3)
    near = within((points + center).T.copy(), center, fan[0, :, 1], boxes, margin=margin, depth=0.01)
    fast = hits(near, fan, depths, boxes, margin=margin)
    for i, j in np.ndindex(*fast.shape):
        local = (points - depths[j] * fan[i, :, 2]) @ fan[i]
        grown = np.abs(local[:, None] - boxes.center) < boxes.half + margin
        assert fast[i, j] == grown.all(axis=2).any()


@given(st.integers(0, 10_000), st.integers(0, 30))
def test_the_deepest_point_matches_the_twin(seed, count):
    rng = np.random.default_rng(seed)
    boxes = Boxes(rng.uniform(-0.05, 0.05, (3, 3)), rng.uniform(0.005, 0.03, (3, 3)))
    points = rng.uniform(-0.1, 0.1, (count, 3))
    deep = depth_inside(points, boxes)
    assert deep == pytest.approx(ref.deepest(points, boxes))
    assert (deep >= 0) == (nearest(points, boxes) == 0)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 200))
def test_the_nearest_on_the_way_is_the_least_of_all_steps(seed, count):
    rng = np.random.default_rng(seed)
    boxes = Boxes(rng.uniform(-0.05, 0.05, (3, 3)), rng.uniform(0.005, 0.03, (3, 3)))
    points, way = rng.uniform(-0.3, 0.3, (count, 3)), rng.uniform(-0.1, 0.1, 3)
    steps = np.linspace(0, 1, int(np.ceil(np.linalg.norm(way) / 0.01)) + 1)
    moved = [Boxes(boxes.center + share * way, boxes.half) for share in steps]
    slow = min(float(box_distances(points, there).min(initial=np.inf)) for there in moved)
    assert nearest_on_path(points, boxes, way, step=0.01) == pytest.approx(slow, abs=1e-9)
    assert nearest_on_path(points, boxes, np.zeros(3), step=0.01) == nearest(points, boxes)


@given(st.floats(0, 0.04), st.floats(0, 0.04))
def test_closing_sweeps_from_open_to_closed(one, other):
    width, opening = min(one, other), max(one, other)
    gripper = GRIPPERS["robotiq_2f85"]
    swept = closing_boxes(gripper, width, opening)
    for at in (width, (width + opening) / 2, opening):
        fingers = gripper.fingers_at(at)
        inner = fingers.center - fingers.half * [[0, 1, 0]] * np.sign(fingers.center[:, 1:2])
        over = np.abs(inner - swept.center) - swept.half
        assert over.max() < 1e-9


@given(st.integers(0, 10_000))
def test_plane_heights_match_the_corners(seed):
    rng = np.random.default_rng(seed)
    boxes = Boxes(rng.uniform(-0.05, 0.05, (3, 3)), rng.uniform(0.005, 0.03, (3, 3)))
    rotations = Rotation.random(2, random_state=np.random.RandomState(seed)).as_matrix()
    origins, normal = rng.uniform(-1, 1, (2, 3)), rng.standard_normal(3)
    plane = np.append(normal / np.linalg.norm(normal), rng.uniform(-1, 1))
    signs = np.stack(np.meshgrid(*[[-1, 1]] * 3), axis=-1).reshape(-1, 3)
    corners = (boxes.center[:, None] + signs * boxes.half[:, None]).reshape(-1, 3)
    for rotation, origin, height in zip(
        rotations, origins, plane_heights(rotations, origins, boxes, plane), strict=True
    ):
        assert height == pytest.approx(((corners @ rotation.T + origin) @ plane[:3] + plane[3]).min())


def test_the_unseen_clearance_of_fingertips_matches_the_twin():
    volume, gripper = volume_of("bar"), GRIPPERS["robotiq_2f85"]
    surface = surface_points(volume, np.zeros(3), config=BoundaryConfig())
    pairs = find_contact_pairs(
        volume,
        surface,
        np.zeros(3),
        radius=0.03,
        max_width=gripper.max_width,
        config=PairConfig(max_pairs=10),
        rng=np.random.default_rng(0),
    )
    nothing = SolidPoints(np.zeros((0, 3)), np.zeros(0, bool), np.zeros(0))
    poses, tally = sample_free_poses(
        volume, nothing, pairs, gripper, clearance=0.006, config=PoseSamplingConfig(max_unseen_fraction=1.0)
    )
    assert len(poses) > 20
    assert tally.unseen == 0
    for i in range(0, len(poses), 5):
        opening = approach_opening(
            gripper, float(np.linalg.norm(np.diff(pairs.contacts[poses.pair[i]], axis=0))), 0.006
        )
        expected = ref.unseen_share(volume, gripper, opening, poses.rotations[i], poses.origins[i])
        assert poses.unknown[i] == pytest.approx(expected, abs=1e-9)


def test_march_matches_the_twin():
    volume = volume_of("box")
    rng = np.random.default_rng(3)
    start = rng.uniform(-0.03, 0.03, (40, 3))
    directions = rng.standard_normal((40, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    ray, ends = march_rays(volume, start, directions, reach=0.05, step=0.001)
    field = solid_field(volume)
    expected = []
    for i in range(40):
        values = []
        for k in range(1, 51):
            index = (start[i] + 0.001 * k * directions[i] + volume.half_size) / volume.voxel
            values.append(ref.trilinear(field, index))
        for k in range(49):
            if values[k] <= 0 < values[k + 1]:
                t = 0.001 * (k + 1 + values[k] / (values[k] - values[k + 1]))
                expected.append((i, *(start[i] + t * directions[i])))
    assert len(expected) > 10
    assert ray.tolist() == [row[0] for row in expected]
    assert np.allclose(ends, [row[1:] for row in expected], atol=2e-6)


def test_pairs_count_what_became_of_the_rays():
    volume = volume_of("box")
    surface = surface_points(volume, np.zeros(3), config=BoundaryConfig())
    pairs = find_contact_pairs(
        volume,
        surface,
        np.zeros(3),
        radius=0.03,
        max_width=0.08,
        config=PairConfig(max_pairs=1000),
        rng=np.random.default_rng(0),
    )
    assert pairs.tried == 3 * min(
        600, (np.linalg.norm(surface.points[surface.on_object], axis=1) < 0.03).sum()
    )
    assert 0 < pairs.endless < pairs.tried
    widths = np.linalg.norm(pairs.contacts[:, 1] - pairs.contacts[:, 0], axis=1)
    assert widths.max() <= 0.068
    assert len(pairs.wide) == 0
    assert pairs.seen.mean() > 0.8


def test_the_object_is_what_hangs_together():
    body = ref.Solid("box", (0.015, 0.015, 0.03), ref.at(0.1, 0.05, 0.03))
    other = ref.Solid("box", (0.015, 0.015, 0.03), ref.at(0.15, 0.05, 0.03))
    point = np.array([0.1, 0.05, 0.055])
    volume = fuse_local(*ref.capture([ref.FLOOR, body, other], ref.ring(point, 10)), point)
    surface = surface_points(volume, np.zeros(3), config=BoundaryConfig())
    world = transform_points(volume.T_world_volume, surface.points)
    assert np.abs(body.distance(world[surface.on_object & surface.seen])).max() < 0.003
    assert surface.on_object.sum() > 500
