"""Hand files and kinematics: shipped hands are right, wrong files are refused in words, and fast kinematics
agree with plain products of matrices and with MuJoCo.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from point2act.core import config_files
from point2act.core.errors import HandError
from point2act.core.geometry import transform
from point2act.grasping.hands.hand import Hand, rotation_about, surface_samples
from point2act.grasping.hands.kinematics import kinematics_of, rotation_of
from point2act.grasping.hands.load import load_hand

SHIPPED = config_files.available("hands")
MIRROR = np.diag([1.0, -1.0, 1.0, 1.0])

GOOD = """
name = "test"
source = "made up"
max_width = 0.1
stiffness = 1.0
max_torque = 0.5
grasp_center = [0.0, 0.0, 0.05]
[[link]]
name = "palm"
boxes = [{ center = [0.0, 0.0, -0.01], half_extents = [0.04, 0.04, 0.01] }]
[[link]]
name = "finger"
parent = "palm"
position = [0.04, 0.0, 0.0]
joint = { name = "bend", axis = [0, -2, 0], limits = [-0.1, 1.5], rest = 0.0, pregrasp = 0.5 }
capsules = [{ center = [0.0, 0.0, 0.02], axis = [0, 0, 1], half_length = 0.015, radius = 0.008 }]
contacts = [{ position = [-0.008, 0.0, 0.02], normal = [-1, 0, 0] }]
[[link]]
name = "thumb"
parent = "palm"
position = [-0.04, 0.0, 0.0]
joint = { name = "oppose", axis = [0, 1, 0], limits = [-0.1, 1.5], rest = 0.0, pregrasp = 0.5 }
spheres = [{ center = [0.0, 0.0, 0.02], radius = 0.01 }]
contacts = [{ position = [0.01, 0.0, 0.02], normal = [1, 0, 0] }]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "hand.toml"
    path.write_text(text, encoding="utf-8")
    return path


def drawn(hand: Hand, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(hand.joints.low, hand.joints.high)


def chain(hand: Hand, link: int, positions: np.ndarray) -> np.ndarray:
    """The pose of one link, from the palm outwards: the definition."""
    above = np.eye(4) if hand.parent[link] < 0 else chain(hand, int(hand.parent[link]), positions)
    turn = np.eye(3)
    for joint in np.flatnonzero(hand.joints.link == link):
        turn = rotation_about(hand.joints.axis[joint], positions[joint])
    return above @ hand.T_parent_link[link] @ transform(turn, np.zeros(3))


# ── the shipped ones ───────────────────────────────────────────────────────────────────────────
def test_two_come_along():
    assert SHIPPED == ["allegro", "leap"]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_hands_say_where_their_numbers_come_from(name):
    hand = load_hand(name)
    assert hand.name == name
    assert "Menagerie" in hand.source
    assert len(hand.joints) == 16
    assert hand.fingers.max() == 3


@pytest.mark.parametrize("name", SHIPPED)
def test_fingers_extend_along_x_and_bend_over_the_palm(name):
    hand = load_hand(name)
    straight = hand.clipped(np.zeros(16))
    tips = [np.flatnonzero(hand.fingers == finger)[-1] for finger in range(3)]
    for tip in tips:
        assert hand.link_poses(straight)[tip, 0, 3] > 0.08
        bent = hand.link_poses(hand.joints.pregrasp)[tip, :3, 3]
        assert bent[2] > hand.link_poses(straight)[tip, 2, 3] + 0.02


@pytest.mark.parametrize("name", SHIPPED)
def test_thumb_opposes_the_fingers_before_the_grasp(name):
    hand = load_hand(name)
    places, normals = hand.contact_places(hand.joints.pregrasp)
    finger = hand.fingers[hand.contacts.link]
    last = hand.contacts.link == hand.contacts.link.max()
    middle = (finger == 1) & (hand.contacts.link == hand.contacts.link[finger == 1].max())
    assert normals[last].mean(axis=0) @ normals[middle].mean(axis=0) < 0
    between = (places[last].mean(axis=0) + places[middle].mean(axis=0)) / 2
    assert np.linalg.norm(between - hand.grasp_center) < 0.03


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("pose", ["rest", "pregrasp"])
def test_no_finger_meets_another_in_the_poses_of_the_file(name, pose):
    hand = load_hand(name)
    poses = hand.link_poses(getattr(hand.joints, pose))[hand.spheres.link]
    centers = np.einsum("sij,sj->si", poses[:, :3, :3], hand.spheres.center) + poses[:, :3, 3]
    one, other = hand.self_pairs()
    gap = np.linalg.norm(centers[one] - centers[other], axis=1)
    assert (gap > hand.spheres.radius[one] + hand.spheres.radius[other]).all()


@pytest.mark.parametrize("name", SHIPPED)
def test_spheres_for_self_collision_lie_in_their_links(name):
    hand = load_hand(name)
    for link, center in zip(hand.spheres.link, hand.spheres.center, strict=True):
        own = hand.primitives.only(int(link))
        depth = own.depth_inside(center[None], own.T_link_shape)[0]
        assert depth > 0, hand.links[link]


# ── kinematics ─────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("name", SHIPPED)
def test_link_poses_are_products_along_the_chain(name):
    hand = load_hand(name)
    for seed in range(3):
        positions = drawn(hand, seed)
        slow = [chain(hand, link, positions) for link in range(len(hand.links))]
        np.testing.assert_allclose(hand.link_poses(positions), slow, atol=1e-12)


@pytest.mark.parametrize("name", SHIPPED)
def test_batched_kinematics_agree_with_those_of_one_pose(name):
    hand = load_hand(name)
    kinematics = kinematics_of(hand, dtype=torch.float64)
    rng = np.random.default_rng(1)
    joints = np.stack([drawn(hand, seed) for seed in range(5)])
    columns, position = torch.as_tensor(rng.standard_normal((5, 6))), torch.as_tensor(rng.random((5, 3)))
    rotation = rotation_of(columns)
    rotations, origins = kinematics.link_poses(position, rotation, torch.as_tensor(joints))
    for row in range(5):
        T = transform(rotation[row].numpy(), position[row].numpy())
        expected = T @ hand.link_poses(joints[row])
        np.testing.assert_allclose(rotations[row], expected[:, :3, :3], atol=1e-12)
        np.testing.assert_allclose(origins[row], expected[:, :3, 3], atol=1e-12)


@given(st.integers(0, 2**31 - 1))
@settings(max_examples=30, deadline=None)
def test_six_numbers_give_a_rotation(seed):
    columns = torch.as_tensor(np.random.default_rng(seed).standard_normal((2, 6)))
    R = rotation_of(columns)
    torch.testing.assert_close(R.transpose(1, 2) @ R, torch.eye(3, dtype=torch.float64).expand(2, 3, 3))
    assert torch.det(R).min() > 0.99


def test_kinematics_have_the_gradient_of_finite_differences():
    hand = load_hand("allegro")
    kinematics = kinematics_of(hand, dtype=torch.float64)
    position = torch.zeros((1, 3), dtype=torch.float64)
    columns = torch.as_tensor(np.random.default_rng(0).standard_normal((1, 6)))

    def origins(joints: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        return kinematics.link_poses(position, rotation_of(columns), joints)[1]

    joints = torch.as_tensor(drawn(hand, 3))[None]
    assert torch.autograd.gradcheck(origins, (joints.requires_grad_(), columns.requires_grad_()))


@pytest.mark.parametrize("name", SHIPPED)
def test_rows_of_points_move_with_their_links(name):
    hand = load_hand(name)
    kinematics = kinematics_of(hand, dtype=torch.float64)
    joints = drawn(hand, 4)
    link, position = surface_samples(hand.primitives, 0.02)
    surface = kinematics.points(link, position, width=7)
    rotations, origins = kinematics.link_poses(
        torch.zeros((1, 3), dtype=torch.float64),
        torch.eye(3, dtype=torch.float64)[None],
        torch.as_tensor(joints)[None],
    )
    placed = surface.at(rotations, origins)[0][surface.mask.flatten() > 0].numpy()
    order = np.argsort(link, kind="stable")
    poses = hand.link_poses(joints)[link[order]]
    expected = np.einsum("nij,nj->ni", poses[:, :3, :3], position[order]) + poses[:, :3, 3]
    np.testing.assert_allclose(placed, expected, atol=1e-12)


@pytest.mark.parametrize("name", SHIPPED)
def test_samples_lie_on_the_surface(name):
    hand = load_hand(name)
    link, position = surface_samples(hand.primitives, 0.012)
    for index in np.unique(link):
        own = hand.primitives.only(int(index))
        depth = own.depth_inside(position[link == index], own.T_link_shape)
        assert depth.min() > -1e-9
        assert depth.max() < 2e-3


def test_depth_inside_a_box_a_capsule_and_a_sphere(tmp_path):
    hand = load_hand(write(tmp_path, GOOD))
    points = np.array([[0.0, 0.0, -0.01], [0.04, 0.0, 0.035], [0.05, 0.0, 0.02], [-0.04, 0.0, 0.04]])
    depth = hand.depth_inside(points, np.zeros(2))
    np.testing.assert_allclose(depth, [0.01, 0.008, -0.002, -0.01], atol=1e-12)


@pytest.mark.parametrize("name", SHIPPED)
def test_kinematics_agree_with_mujoco(name):
    mujoco = pytest.importorskip("mujoco")
    from xml.etree import ElementTree as ET

    from point2act.physics.hand_model import add_links

    hand = load_hand(name)
    root = ET.Element("mujoco")
    ET.SubElement(root, "compiler", angle="radian")
    palm = ET.SubElement(ET.SubElement(root, "worldbody"), "body", name="frame")
    ET.SubElement(palm, "inertial", pos="0 0 0", mass="1", diaginertia="1 1 1")
    add_links(palm, ET.SubElement(root, "actuator"), hand)
    model = mujoco.MjModel.from_xml_string(ET.tostring(root, encoding="unicode"))
    data = mujoco.MjData(model)
    for seed in range(3):
        positions = drawn(hand, seed)
        for joint, value in zip(hand.joints.names, positions, strict=True):
            data.joint(f"gripper/{joint}").qpos = value
        mujoco.mj_kinematics(model, data)
        poses = hand.link_poses(positions)
        for index, link in enumerate(hand.links):
            body = data.body(f"gripper/{link}")
            np.testing.assert_allclose(body.xpos, poses[index, :3, 3], atol=1e-6)
            np.testing.assert_allclose(body.xmat.reshape(3, 3), poses[index, :3, :3], atol=1e-6)
        for index, T in enumerate(hand.shape_poses(positions)):
            np.testing.assert_allclose(data.geom_xpos[index], T[:3, 3], atol=1e-6)


@pytest.mark.parametrize("name", SHIPPED)
def test_mirrored_hand_is_the_mirror_image(name):
    hand = load_hand(name)
    other, positions = hand.mirrored(), drawn(hand, 5)
    np.testing.assert_allclose(
        other.link_poses(positions), MIRROR @ hand.link_poses(positions) @ MIRROR, atol=1e-12
    )
    places, normals = hand.contact_places(positions)
    mirrored_places, mirrored_normals = other.contact_places(positions)
    np.testing.assert_allclose(mirrored_places, places * [1, -1, 1], atol=1e-12)
    np.testing.assert_allclose(mirrored_normals, normals * [1, -1, 1], atol=1e-12)
    points = np.random.default_rng(0).uniform(-0.1, 0.1, (200, 3))
    np.testing.assert_allclose(
        other.depth_inside(points * [1, -1, 1], positions), hand.depth_inside(points, positions), atol=1e-12
    )


# ── files that are wrong ───────────────────────────────────────────────────────────────────────
def test_a_file_of_ones_own(tmp_path):
    hand = load_hand(write(tmp_path, GOOD))
    assert hand.links == ("palm", "finger", "thumb")
    assert hand.joints.names == ("bend", "oppose")
    np.testing.assert_allclose(hand.joints.axis[0], [0, -1, 0])
    assert hand.mount_at(0.0) is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "palm"', 'name = "palm"\nparent = "finger"', "the palm: leave out its parent"),
        ('parent = "palm"\nposition = [0.04', "position = [0.04", "'finger' has no parent"),
        ('parent = "palm"\nposition = [0.04', 'parent = "hand"\nposition = [0.04', "not a link above"),
        ('name = "thumb"', 'name = "finger"', "two .* named 'finger'"),
        ('name = "oppose"', 'name = "bend"', "two joints have the same name"),
        ("axis = [0, -2, 0]", "axis = [0, 0, 0]", "the axis of the joint .* is zero"),
        ("axis = [0, 0, 1], half", "axis = [0, 0, 0], half", "the axis of a capsule .* is zero"),
        ("normal = [-1, 0, 0]", "normal = [0, 0, 0]", "the normal of a contact .* is zero"),
        ("limits = [-0.1, 1.5]", "limits = [1.5, -0.1]", "smallest first"),
        ("rest = 0.0, pregrasp = 0.5 }\ncaps", "rest = 9.0, pregrasp = 0.5 }\ncaps", "'bend' has rest = 9"),
        ("pregrasp = 0.5 }\ncaps", "pregrasp = -1 }\ncaps", "'bend' has pregrasp = -1"),
        ("position = [-0.008, 0.0, 0.02]", "position = [-0.018, 0.0, 0.02]", "10.0 mm from it"),
        ("stiffness = 1.0", "stiffness = -1.0", "'stiffness' is -1.0: write one positive number"),
        ("max_width = 0.1", "max_width = nan", "'max_width' is nan"),
        ("radius = 0.01 }", "radius = 0.01, colour = 3 }", "unknown keys colour"),
        ("half_extents = [0.04, 0.04, 0.01]", "half_extents = [0.04, 0.04]", "half_extents"),
        ("contacts = [{ position = [0.01, 0.0, 0.02], normal = [1, 0, 0] }]", "", "at least 2 links"),
        ("[[link]]", "[[link", "cannot be read as TOML"),
        ('name = "test"', 'name = ""', "'name' is"),
    ],
)  # fmt: skip
def test_wrong_files_are_refused_with_what_to_write(tmp_path, old, new, words):
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(HandError, match=words) as error:
        load_hand(path)
    assert "hand.toml" in str(error.value)


def test_unknown_names_list_the_shipped_hands():
    with pytest.raises(HandError, match="allegro, leap"):
        load_hand("tentacle")


def test_palm_without_fingers_is_no_hand(tmp_path):
    with pytest.raises(HandError, match="at least one more"):
        load_hand(write(tmp_path, GOOD[: GOOD.index('[[link]]\nname = "finger"')]))


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_truncated_files_are_refused(tmp_path, name, share):
    text = (Path(__file__).resolve().parent.parent / "configs" / "hands" / f"{name}.toml").read_text()
    with pytest.raises(HandError):
        load_hand(write(tmp_path, text[: int(share * len(text))]))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_number_has_a_source(name):
    text = (Path(__file__).resolve().parent.parent / "configs" / "hands" / f"{name}.toml").read_text()
    head = text[: text.index("name =")]
    assert re.search(r"Menagerie", head)
    assert re.search(r"BSD|MIT", head)
