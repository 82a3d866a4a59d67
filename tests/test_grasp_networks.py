"""Networks of learned grasps: shapes, invariance, files of weights, and proposals."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from analytic_volumes import region_at, sphere, volume_of
from grasp_shards import ball, poses
from safetensors.torch import save
from scipy.spatial.transform import Rotation

from point2act.core.errors import LearningError
from point2act.core.geometry import transform, transform_points
from point2act.grasping.antipodal.boundary import BoundaryConfig, solid_points, surface_points
from point2act.grasping.end_effector import load_end_effector
from point2act.grasping.hands.energies import EnergyConfig, HandModel, energies, model_of
from point2act.grasping.hands.kinematics import kinematics_of, rotation_of
from point2act.grasping.hands.load import load_hand
from point2act.grasping.hands.optimization import OptimizationConfig, optimize
from point2act.grasping.hands.scene_field import FieldConfig, SceneField, scene_field
from point2act.grasping.hands.starts import slot_choices
from point2act.grasping.learned import weights
from point2act.grasping.learned.cloud import LocalCloud, local_cloud
from point2act.grasping.learned.embodiment import Embodiment, embodiment_of
from point2act.grasping.learned.evaluator import hold_probability
from point2act.grasping.learned.features import (
    NUM_CONTEXT,
    NUM_FEATURES,
    about_vertical,
    facing,
    points_near,
    rows_of,
)
from point2act.grasping.learned.networks import (
    EvaluatorConfig,
    FlowConfig,
    GraspEvaluator,
    GraspFlow,
    grasp_vectors,
    scale_joints,
    unscale_joints,
)
from point2act.grasping.learned.proposals import propose
from point2act.grasping.learned.weights import (
    file_name,
    load_evaluator,
    load_flow,
    read_network,
    write_network,
)

SMALL = EvaluatorConfig(num_points=64, encoder=(16, 32), head=(32,))
SMALL_FLOW = FlowConfig(num_points=64, encoder=(16, 32), code=16, width=32, blocks=2)
MODEST = (300_000, 2_000_000)


def evaluator_of(name: str = "allegro", config: EvaluatorConfig = SMALL, seed: int = 0) -> GraspEvaluator:
    torch.manual_seed(seed)
    return GraspEvaluator(embodiment_of(load_end_effector(name)), config).eval()


def flow_of(name: str = "allegro", config: FlowConfig = SMALL_FLOW, seed: int = 0) -> GraspFlow:
    torch.manual_seed(seed)
    return GraspFlow(embodiment_of(load_end_effector(name)), config).eval()


def some_grasps(count: int, joints: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return poses(rng, rng.uniform(-0.05, 0.05, (count, 3))), rng.uniform(0, 0.08, (count, joints))


def judged(
    evaluator: GraspEvaluator,
    cloud: LocalCloud,
    T_grasps: np.ndarray,
    joints: np.ndarray,
    *,
    name: str = "allegro",
    batch: int = 64,
) -> np.ndarray:
    scores = np.linspace(0.2, 0.8, len(joints))
    return hold_probability(evaluator, load_end_effector(name), cloud, T_grasps, joints, scores, batch=batch)


def moved(cloud: LocalCloud, T: np.ndarray) -> LocalCloud:
    return LocalCloud(
        transform_points(T, cloud.points),
        cloud.normals @ T[:3, :3].T,
        cloud.on_object,
        cloud.seen,
        cloud.probability,
    )


# ── points and joints ──────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(("count", "radius"), [(5, 0.5), (12, 0.5), (12, 0.01), (100, 0.5)])
def test_points_near_are_those_of_the_plain_rule(count, radius):
    rng = np.random.default_rng(count)
    rows, keys = rng.standard_normal((40, 9)) * 0.3, rng.random(40)
    T = poses(rng, rng.uniform(-0.1, 0.1, (1, 3)))[0]
    found = points_near(
        torch.as_tensor(rows)[None],
        torch.as_tensor(T[:3, :3])[None],
        torch.as_tensor(T[:3, 3])[None],
        torch.as_tensor(keys)[None],
        radius=radius,
        count=count,
    )[0].numpy()
    distance = np.linalg.norm(rows[:, :3] - T[:3, 3], axis=1)
    inside = [index for index in np.argsort(keys) if distance[index] < radius]
    outside = [index for index in np.argsort(distance) if distance[index] >= radius]
    chosen = rows[[*inside, *outside][:count]]
    local = (chosen[:, :3] - T[:3, 3]) @ T[:3, :3] / 0.1
    expected = np.column_stack([local, chosen[:, 3:6] @ T[:3, :3], chosen[:, 6:]])
    np.testing.assert_allclose(np.sort(found, axis=0), np.sort(expected, axis=0), atol=1e-12)


def bar(angle: float, place: np.ndarray) -> np.ndarray:
    """Return rows of a level bar in a direction, among others that are not the object's."""
    rng = np.random.default_rng(0)
    rows = np.zeros((400, 9))
    rows[:, :3] = rng.uniform(-1, 1, (400, 3)) * [0.06, 0.01, 0.01]
    rows[200:, :3] = rng.uniform(-0.05, 0.05, (200, 3))
    rows[:200, 6] = 1.0
    rows[:, :3] = rows[:, :3] @ Rotation.from_euler("z", angle).as_matrix().T + place
    return rows


@pytest.mark.parametrize("angle", [-1.5, -0.4, 0.0, 0.7, 1.5])
def test_frames_face_along_the_object(angle):
    place = np.array([0.3, -0.1, 0.2])
    frame = facing(torch.as_tensor(bar(angle, place))[None], torch.as_tensor(place)[None])[0].numpy()
    assert abs(frame[:, 0] @ [np.cos(angle), np.sin(angle), 0]) > np.cos(0.05)
    np.testing.assert_allclose(frame[:, 2], [0, 0, 1])
    np.testing.assert_allclose(frame.T @ frame, np.eye(3), atol=1e-12)


def test_frames_exist_where_no_point_is_the_objects():
    frame = facing(torch.zeros((1, 5, 9)), torch.zeros((1, 3)))
    torch.testing.assert_close(frame, torch.eye(3)[None])


def test_turns_about_the_vertical_are_those_of_scipy():
    angles = np.linspace(-4, 4, 9)
    expected = Rotation.from_euler("z", angles[:, None]).as_matrix()
    np.testing.assert_allclose(about_vertical(torch.as_tensor(angles)).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(("own", "others", "kept"), [(80, 300, (10, 10)), (3, 300, (3, 10)), (4, 5, (4, 5))])
def test_half_of_a_thinned_cloud_is_the_objects_where_it_has_as_many(own, others, kept):
    flags = np.arange(own + others) < own
    points = np.random.default_rng(0).standard_normal((own + others, 3))
    cloud = LocalCloud(points, points, flags, flags, np.ones(len(flags)))
    thin = cloud.thinned(20)
    assert (thin.on_object.sum(), (~thin.on_object).sum()) == kept
    assert len(np.unique(thin.points, axis=0)) == len(thin)
    np.testing.assert_array_equal(thin.points, cloud.thinned(20).points)


def test_joints_are_scaled_and_back():
    shape = Embodiment((-1.0, 0.0), (1.0, 0.5), (0.0, 0.0, 0.0), 3)
    joints = torch.tensor([[-1.0, 0.5], [0.3, 0.1]])
    torch.testing.assert_close(scale_joints(shape, joints)[0], torch.tensor([-1.0, 1.0]))
    torch.testing.assert_close(unscale_joints(shape, scale_joints(shape, joints)), joints)
    assert unscale_joints(shape, torch.tensor([[-9.0, 9.0]])).tolist() == [[-1.0, 0.5]]


# ── sizes ──────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("name", ["allegro", "leap", "panda"])
def test_the_evaluator_has_a_logit_for_each_label(name):
    evaluator = evaluator_of(name, EvaluatorConfig())
    features = NUM_FEATURES + evaluator.embodiment.parts
    assert evaluator(torch.zeros((3, 384, features)), torch.zeros((3, NUM_CONTEXT))).shape == (3, 4)
    assert MODEST[0] < sum(weight.numel() for weight in evaluator.parameters()) < MODEST[1]


def test_all_weights_of_a_hand_fit_in_8_mb(tmp_path):
    networks = (evaluator_of(config=EvaluatorConfig()), flow_of(config=FlowConfig()))
    for network in networks:
        write_network(tmp_path / file_name("allegro", network.kind), network, "allegro")
    assert 2e6 < sum(path.stat().st_size for path in tmp_path.iterdir()) < 8e6


def test_the_order_of_points_does_not_matter():
    evaluator = evaluator_of()
    points, context = torch.randn((2, 50, 14)), torch.zeros((2, NUM_CONTEXT))
    shuffled = points[:, torch.randperm(50)]
    torch.testing.assert_close(evaluator(points, context), evaluator(shuffled, context))


def test_the_flow_follows_a_constant_velocity():
    flow = flow_of()
    with torch.no_grad():
        flow.output.weight.zero_()
        flow.output.bias.copy_(torch.arange(25.0))
    noise = torch.randn((3, 25))
    found = flow.sample(torch.zeros((3, 16)), noise, steps=7)
    torch.testing.assert_close(found, noise + torch.arange(25.0))


# ── probabilities ──────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("name", ["allegro", "panda"])
def test_probability_does_not_change_when_all_is_moved_and_turned_about_the_vertical(name):
    evaluator = evaluator_of(name)
    T_grasps, joints = some_grasps(9, len(evaluator.embodiment.low))
    cloud = ball(np.random.default_rng(0), points=400, radius=0.12)
    T = transform(Rotation.from_euler("z", 0.8).as_matrix(), (0.3, -0.2, 0.5))
    before = judged(evaluator, cloud, T_grasps, joints, name=name)
    after = judged(evaluator, moved(cloud, T), T @ T_grasps, joints, name=name)
    np.testing.assert_allclose(after, before, atol=1e-5)
    assert np.ptp(before, axis=0).max() > 1e-3  # It does depend on the grasp.
    assert np.abs(judged(evaluator, cloud, T @ T_grasps, joints, name=name) - before).max() > 1e-4
    tipped = transform(Rotation.from_euler("x", 1.2).as_matrix(), (0.0, 0.0, 0.0))
    lying = judged(evaluator, moved(cloud, tipped), tipped @ T_grasps, joints, name=name)
    assert np.abs(lying - before).max() > 1e-4


def test_probability_does_not_depend_on_the_batch():
    evaluator, cloud = evaluator_of(), ball(np.random.default_rng(0))
    T_grasps, joints = some_grasps(7, 16)
    whole = judged(evaluator, cloud, T_grasps, joints)
    assert whole.shape == (7, 4)
    assert ((whole > 0) & (whole < 1)).all()
    np.testing.assert_allclose(judged(evaluator, cloud, T_grasps, joints, batch=3), whole, atol=1e-6)


def test_no_grasps_and_few_points_are_judged():
    evaluator = evaluator_of()
    T_grasps, joints = some_grasps(2, 16)
    cloud = ball(np.random.default_rng(0), points=1)
    assert np.isfinite(judged(evaluator, cloud, T_grasps, joints)).all()
    assert judged(evaluator, cloud, T_grasps[:0], joints[:0]).shape == (0, 4)


def test_what_cannot_be_judged_is_refused():
    T_grasps, joints = some_grasps(2, 1)
    cloud = ball(np.random.default_rng(0))
    with pytest.raises(LearningError, match="is of another gripper or hand than panda"):
        judged(evaluator_of(), cloud, T_grasps, joints, name="panda")
    with pytest.raises(LearningError, match="no points"):
        judged(evaluator_of("panda"), cloud.only(slice(0)), T_grasps, joints, name="panda")


# ── weights ────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("network", [evaluator_of(), flow_of()], ids=["evaluator", "flow"])
def test_weights_are_read_as_half_precision_wrote_them(tmp_path, network):
    path = tmp_path / file_name("allegro", network.kind)
    write_network(path, network, "allegro")
    found = read_network(path, type(network))
    assert (found.embodiment, found.config) == (network.embodiment, network.config)
    for name, values in found.state_dict().items():
        assert values.dtype == torch.float32
        torch.testing.assert_close(values, network.state_dict()[name].half().float(), rtol=0, atol=0)
    assert not any(weight.requires_grad for weight in found.parameters())


def test_rounded_weights_judge_alike(tmp_path):
    evaluator = evaluator_of(config=EvaluatorConfig())
    write_network(tmp_path / "one.safetensors", evaluator, "allegro")
    rounded = read_network(tmp_path / "one.safetensors", GraspEvaluator)
    cloud, grasps = ball(np.random.default_rng(0)), some_grasps(5, 16)
    exact = judged(evaluator, cloud, *grasps)
    np.testing.assert_allclose(judged(rounded, cloud, *grasps), exact, atol=2e-3)


@pytest.mark.parametrize("kept", [0, 7, 300, -4])
def test_truncated_weights_are_named(tmp_path, kept):
    path = tmp_path / "one.safetensors"
    write_network(path, evaluator_of(), "allegro")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(LearningError, match=r"one\.safetensors is damaged"):
        read_network(path, GraspEvaluator)


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(LearningError, match=r"none\.safetensors"):
        read_network(tmp_path / "none.safetensors", GraspFlow)


def rewritten(path: Path, *, poison: float = 0.0, **changes: object) -> Path:
    """Write the weights of a network with other metadata."""
    evaluator = evaluator_of()
    write_network(path, evaluator, "allegro")
    size = int.from_bytes(path.read_bytes()[:8], "little")
    document = json.loads(json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]["point2act"])
    tensors = {name: values.half() + poison for name, values in evaluator.state_dict().items()}
    path.write_bytes(save(tensors, {"point2act": json.dumps(document | changes)}))
    return path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 1}, "of another version"),
        ({"kind": "flow"}, "another network"),
        ({"config": {"encoder": [1_000_000, 1_000_000]}}, "is damaged"),
        ({"config": {"encoder": ["wide"]}}, "is damaged"),
        ({"config": None}, "is damaged"),
        ({"embodiment": {}}, "is damaged"),
        ({"poison": float("nan")}, "not all weights are finite"),
    ],
)
def test_weights_with_other_metadata_are_refused(tmp_path, changes, words):
    with pytest.raises(LearningError, match=re.escape(words)):
        read_network(rewritten(tmp_path / "one.safetensors", **changes), GraspEvaluator)


def test_weights_without_metadata_are_refused(tmp_path):
    (tmp_path / "one.safetensors").write_bytes(save({"a": torch.zeros(2)}))
    with pytest.raises(LearningError, match="is damaged"):
        read_network(tmp_path / "one.safetensors", GraspEvaluator)


def test_shipped_weights_are_found_by_the_name_of_the_hand(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "_SHIPPED", tmp_path / "weights")
    weights._read.cache_clear()
    write_network(tmp_path / "weights" / "allegro_evaluator.safetensors", evaluator_of(), "allegro")
    (tmp_path / "outside_evaluator.safetensors").write_bytes(b"")
    (tmp_path / "weights" / "leap_flow.safetensors").write_bytes(b"no weights")
    found = load_evaluator("allegro")
    assert found is not None
    assert load_evaluator("allegro") is found
    assert load_flow("allegro") is None
    assert load_evaluator("../outside") is None
    assert load_evaluator("") is None
    with pytest.raises(LearningError, match=r"leap_flow\.safetensors is damaged"):
        load_flow("leap")
    weights._read.cache_clear()


# ── proposals ──────────────────────────────────────────────────────────────────────────────────
@cache
def scene() -> tuple[LocalCloud, HandModel, SceneField]:
    volume = volume_of(sphere(0.035))
    region = region_at((0.0, 0.0, 0.0), (0.04, 0.04, 0.04))
    surface = surface_points(volume, region.action_point, config=BoundaryConfig())
    ones = lambda points: np.ones(len(points))  # noqa: E731
    solid = solid_points(volume, surface, config=BoundaryConfig())
    field = scene_field(volume, surface, solid, ones, config=FieldConfig(outer_voxel=0.01))
    kinematics = kinematics_of(load_hand("allegro"), dtype=torch.float32)
    return local_cloud(surface, ones), model_of(kinematics, spacing=0.02), field.to("cpu", torch.float32)


def proposed(seed: int = 0, count: int = 24):
    cloud, model, field = scene()
    generator = torch.Generator().manual_seed(seed)
    return propose(cloud, cloud.on_object * 1.0, flow_of(), model, field, count, generator=generator)


def test_the_same_seed_gives_the_same_proposals():
    one, again, other = proposed(0), proposed(0), proposed(1)
    for name, values in vars(one).items():
        torch.testing.assert_close(values, getattr(again, name), rtol=0, atol=0)
    assert not torch.equal(one.position, other.position)


def test_proposals_are_grasps_of_the_hand():
    grasps, model = proposed(), scene()[1]
    hand = model.kinematics.hand
    assert len(grasps) == 24
    assert (grasps.joints >= model.kinematics.low).all()
    assert (grasps.joints <= model.kinematics.high).all()
    rotation = rotation_of(grasps.columns)
    torch.testing.assert_close(grasps.columns[:, :3], rotation[:, :, 0])
    torch.testing.assert_close(grasps.columns[:, 3:], rotation[:, :, 1])
    assert (grasps.forces == 0).all()
    slots = slot_choices(hand)
    for column, slot in enumerate(slots):
        assert set(grasps.contacts[:, column].tolist()) <= set(slot.tolist())
    fingers = hand.fingers[hand.contacts.link]
    of_slot = np.array([fingers[slot[0]] for slot in slots])
    active = grasps.active.numpy() > 0
    assert active[:, of_slot == hand.fingers.max()].any(axis=1).all()
    assert active[:, (of_slot >= 0) & (of_slot < hand.fingers.max())].any(axis=1).all()


class Still(GraspFlow):
    """Proposes where the noise is from."""

    def forward(self, grasps, time, code):
        return torch.zeros_like(grasps)


def test_proposals_are_about_the_places_that_are_likely():
    cloud, model, field = scene()
    places = (cloud.on_object & (cloud.points[:, 2] > 0.02)) * 1.0
    flow = Still(embodiment_of(load_hand("allegro")), SMALL_FLOW)
    grasps = propose(cloud, places, flow, model, field, 4000, generator=torch.Generator().manual_seed(0))
    # The noise is 10 cm wide and has no mean.
    expected = cloud.points[places > 0].mean(axis=0)
    np.testing.assert_allclose(grasps.position.mean(dim=0), expected, atol=0.008)


def test_contacts_near_the_object_are_active():
    _, model, field = scene()
    grasps = proposed(count=64)
    rotations, origins = model.kinematics.link_poses(
        grasps.position, rotation_of(grasps.columns), grasps.joints
    )
    link, position, _ = model.contacts
    for row in range(0, 64, 7):
        for column, contact in enumerate(grasps.contacts[row].tolist()):
            place = rotations[row, link[contact]] @ position[contact] + origins[row, link[contact]]
            distance = field.object.distance_at(place[None, None]).abs().item()
            assert grasps.active[row, column] == 1 or distance >= 0.015 - 1e-6


def test_proposals_can_be_optimised():
    _, model, field = scene()
    grasps = proposed(count=8)
    config = OptimizationConfig(iterations=20, halving=())
    before = energies(grasps, model, field, config=EnergyConfig())[0].total(EnergyConfig())
    slots = [torch.as_tensor(slot) for slot in slot_choices(model.kinematics.hand)]
    _, after = optimize(
        grasps,
        slots,
        model,
        field,
        weights=EnergyConfig(),
        config=config,
        generator=torch.Generator().manual_seed(0),
    )
    assert after.median() < before.median()


def test_proposals_of_another_hand_are_refused():
    cloud, model, field = scene()
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(LearningError, match="another hand than allegro"):
        propose(cloud, cloud.on_object * 1.0, flow_of("panda"), model, field, 2, generator=generator)
    with pytest.raises(LearningError, match="no points"):
        propose(cloud.only(slice(0)), np.zeros(0), flow_of(), model, field, 2, generator=generator)


def test_grasp_vectors_are_about_one():
    shape = embodiment_of(load_end_effector("allegro"))
    low, high = torch.tensor([shape.low]), torch.tensor([shape.high])
    vector = grasp_vectors(shape, torch.tensor([[0.0, 0.0, 0.1]]), torch.eye(6)[:1], (low + high) / 2)
    torch.testing.assert_close(vector[0, :3], torch.tensor([0.0, 0.0, 1.0]))
    torch.testing.assert_close(vector[0, 9:], torch.zeros(16), atol=1e-6, rtol=0)


def test_rows_hold_what_the_cloud_says():
    cloud = ball(np.random.default_rng(0), points=5)
    rows = rows_of(cloud)
    np.testing.assert_array_equal(rows[:, :3], cloud.points)
    np.testing.assert_array_equal(rows[:, 8], cloud.probability)
