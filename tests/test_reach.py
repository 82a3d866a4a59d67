"""Arms: kinematics as published, paths that hold what they promise, misses that say what is missing."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("mujoco", reason="arms need mujoco: pip install point2act[arm]")
pytest.importorskip("mink", reason="arms need mink: pip install point2act[arm]")

from benchmarks.common.oracle import oracle_grasps
from point2act.core.config_files import available
from point2act.core.errors import ArmError
from point2act.core.geometry import invert, transform_points
from point2act.core.mujoco_import import mujoco
from point2act.core.types import Grasp, JointPath
from point2act.grasping.grippers import Boxes, Gripper, load_gripper
from point2act.grasping.reachability import ReachConfig
from point2act.grasping.reachability.arm import Arm, load_arm
from point2act.grasping.reachability.clearance import Surroundings, find_links
from point2act.grasping.reachability.joint_path import Reach, Unreachable, in_base, reach_grasps
from point2act.physics.scene import Scene, load_scene
from point2act.physics.trial import TrialConfig
from point2act.simulation.arm import try_grasp_on_arm

SHIPPED = Path(__file__).resolve().parent.parent / "configs" / "arms"
UP = np.array([0.0, 0.0, 0.15])
HALF_TURN = np.diag([-1.0, -1.0, 1.0, 1.0])

# "Robot and interface specifications" of the Franka Control Interface documentation.
DH = [  # a, d, alpha of each joint and of the flange; Craig's convention
    (0.0, 0.333, 0.0),
    (0.0, 0.0, -np.pi / 2),
    (0.0, 0.316, np.pi / 2),
    (0.0825, 0.0, np.pi / 2),
    (-0.0825, 0.384, -np.pi / 2),
    (0.0, 0.0, np.pi / 2),
    (0.088, 0.0, np.pi / 2),
    (0.0, 0.107, 0.0),
]
LOW = [-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973]
HIGH = [2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973]

# Three links of 0.4, 0.3 and 0.1 m in a plane: what it reaches can be worked out with a ruler.
PLANAR = """
<mujoco>
  <compiler angle="degree" autolimits="true"/>
  <default><joint axis="0 0 1"/><geom type="capsule" mass="1" size="0.02"/></default>
  <worldbody>
    <body name="upper_arm">
      <joint name="one" range="-90 90"/><geom fromto="0 0 0 0.35 0 0"/>
      <body name="forearm" pos="0.4 0 0">
        <joint name="two" range="10 120"/><geom fromto="0.05 0 0 0.25 0 0"/>
        <body name="wrist" pos="0.3 0 0">
          <joint name="three" range="-120 120"/><geom fromto="0.05 0 0 0.06 0 0"/>
          <body name="flange" pos="0.1 0 0" xyaxes="0 1 0 0 0 1"/>
        </body>
      </body>
    </body>
  </worldbody>
</mujoco>
"""
PLANAR_TOML = """
name = "planar"
model = "planar.xml"
flange = "flange"
joints = ["one", "two", "three"]
home = [0.0, 1.0, -0.5]
torque = [50, 50, 10]
source = "made up"
[turn]
small = 0
"""
SMALL = Gripper(
    name="small",
    max_width=0.05,
    pad_size=(0.01, 0.01),
    finger=Boxes.of(((0.0, 0.005, -0.01), (0.005, 0.005, 0.02))),
    body=Boxes.of(((0.0, 0.0, -0.06), (0.01, 0.03, 0.03))),
    max_force=20.0,
    mount=((0.0, 0.1),),
)


@pytest.fixture(scope="module")
def panda() -> Arm:
    return load_arm("panda", load_gripper("panda"))


@pytest.fixture
def planar(tmp_path: Path) -> Arm:
    return load_arm(written(tmp_path), SMALL)


def written(folder: Path, toml: str = PLANAR_TOML, mjcf: str = PLANAR) -> Path:
    (folder / "planar.xml").write_text(mjcf, encoding="utf-8")
    (folder / "planar.toml").write_text(toml, encoding="utf-8")
    return folder / "planar.toml"


def by_table(joints: np.ndarray) -> np.ndarray:
    """T_base_flange of a Panda from the published table, row by row."""
    T = np.eye(4)
    for (a, d, alpha), theta in zip(DH, [*joints, 0.0], strict=True):
        ca, sa, ct, st = np.cos(alpha), np.sin(alpha), np.cos(theta), np.sin(theta)
        T = T @ np.array(
            [
                [ct, -st, 0, a],
                [st * ca, ct * ca, -sa, -d * sa],
                [st * sa, ct * sa, ca, d * ca],
                [0, 0, 0, 1],
            ]
        )
    return T


def gripper_by_table(joints: np.ndarray) -> np.ndarray:
    """T_base_gripper of the Franka Hand on it."""
    T_flange_gripper = np.eye(4)
    T_flange_gripper[:3, :3] = Rotation.from_euler("z", -45, degrees=True).as_matrix()
    T_flange_gripper[2, 3] = 0.1034
    return by_table(joints) @ T_flange_gripper


def planar_pose(x: float, y: float, yaw: float) -> np.ndarray:
    """A gripper of the planar arm that points along an angle, degrees, in the plane."""
    c, s = np.cos(np.deg2rad(yaw)), np.sin(np.deg2rad(yaw))
    return np.array([[-s, 0, c, x], [c, 0, s, y], [0, 1, 0, 0], [0, 0, 0, 1]], dtype=float)


def path_to(
    arm: Arm, T: np.ndarray, seed: int = 0, around: Surroundings = Surroundings(), **options
) -> JointPath | Unreachable:
    asked = {"opening": 0.03, "approach": 0.1, "lift_base": UP, "rng": np.random.default_rng(seed)}
    return Reach(arm, around, ReachConfig()).find(T, **(asked | options))


def grasp_at(T: np.ndarray, score: float = 1.0) -> Grasp:
    contacts = transform_points(T, np.array([[0, 0.015, 0], [0, -0.015, 0]]))
    return Grasp(T, 0.03, score, 1.0, 1.0, contacts, 0.0)


def above_table(rng: np.random.Generator) -> np.ndarray:
    """Where grasps are: in front of a Panda, a little above its table, looking down within 50 degrees."""
    tilt = Rotation.from_rotvec(np.deg2rad(rng.uniform(0, 50)) * np.array([*turned(rng.uniform(0, 7)), 0.0]))
    yaw = Rotation.from_euler("z", rng.uniform(-np.pi, np.pi))
    T = np.eye(4)
    T[:3, :3] = (tilt * yaw).as_matrix() @ np.diag([1.0, -1.0, -1.0])
    T[:3, 3] = rng.uniform([0.35, -0.3, 0.02], [0.6, 0.3, 0.2])
    return T


def turned(angle: float) -> np.ndarray:
    return np.array([np.cos(angle), np.sin(angle)])


# ── the arm as data ────────────────────────────────────────────────────────────────────────────
def test_a_panda_moves_as_its_table_says(panda: Arm) -> None:
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(panda.limits, np.stack([LOW, HIGH], axis=1))
    for joints in rng.uniform(LOW, HIGH, (20, 7)):
        np.testing.assert_allclose(panda.T_base_gripper(joints, 0.04), gripper_by_table(joints), atol=1e-9)


def test_pads_that_travel_on_a_circle_move_the_flange() -> None:
    arm = load_arm("panda", load_gripper("robotiq_2f85"))
    closed, opened = (arm.T_flange_gripper(opening)[2, 3] for opening in (0.0, 0.085))
    assert closed - opened == pytest.approx(0.0134, abs=1e-6)
    assert opened == arm.gripper.mount_at(0.085)


@pytest.mark.parametrize("name", available("grippers"))
def test_every_shipped_gripper_sits_on_every_shipped_arm(name: str) -> None:
    gripper = load_gripper(name)
    for arm in available("arms"):
        assert load_arm(arm, gripper).gripper is gripper


def test_a_gripper_that_does_not_say_how_long_it_is_cannot_be_mounted(tmp_path: Path) -> None:
    with pytest.raises(ArmError, match="write into its file as 'mount'"):
        load_arm(written(tmp_path), replace(SMALL, mount=()))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('model = "planar.xml"', 'model = "nowhere.xml"', r"nowhere\.xml does not exist"),
        ('flange = "flange"', 'flange = "tip"', "no site or body named 'tip': use one of upper_arm"),
        ('"two", ', "", "'joints' are one, three, but .* has one, two, three"),
        (
            "home = [0.0, 1.0, -0.5]",
            "home = [0.0, 1.0]",
            r"'home' is \[0.0, 1.0\]: write 3 numbers, one for each joint",
        ),
        ("home = [0.0, 1.0, -0.5]", "home = [0.0, 3.0, 0.0]", "'home' puts two at 3.000, outside its limits"),
        ("torque = [50, 50, 10]", "torque = [50, 0, 10]", "write positive newton metres"),
        (
            "torque = [50, 50, 10]",
            'torque = "strong"',
            "'torque' is 'strong': write a list of numbers, one for each joint",
        ),
        ("small = 0", "", r"how gripper 'small' is turned on the flange: write small = 0.0"),
        ("small = 0", "small = true", "'turn.small' is True: write degrees"),
        ('source = "made up"', 'colour = "red"', "unknown keys colour: use flange, home"),
    ],
)
def test_a_wrong_file_is_reported_in_words(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    assert old in PLANAR_TOML
    with pytest.raises(ArmError, match=complaint):
        load_arm(written(tmp_path, PLANAR_TOML.replace(old, new)), SMALL)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("<mujoco>", "<mojoco>", "cannot be read as MJCF"),
        (' range="10 120"', "", "joint 'two' is not a hinge with a range"),
        ('<joint name="two"', '<joint name="two" type="slide"', "joint 'two' is not a hinge with a range"),
    ],
)
def test_a_wrong_model_is_reported(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    with pytest.raises(ArmError, match=complaint):
        load_arm(written(tmp_path, mjcf=PLANAR.replace(old, new)), SMALL)


def test_an_unknown_arm_is_reported_with_the_known_ones() -> None:
    with pytest.raises(ArmError, match=r"no arm named 'ur5': use one of panda, or the path of a \.toml"):
        load_arm("ur5", SMALL)


def test_drives_and_keyframes_of_a_model_are_no_matter(tmp_path: Path) -> None:
    extra = '<actuator><motor joint="one"/></actuator><keyframe><key qpos="0 1 0"/></keyframe></mujoco>'
    arm = load_arm(written(tmp_path, mjcf=PLANAR.replace("</mujoco>", extra)), SMALL)
    assert arm.model.nu == arm.model.nkey == 0


def test_without_mink_an_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['mink'] = None\n"
        "from point2act.core.errors import ArmError\n"
        "try:\n    import point2act.grasping.reachability.joint_path\n"
        "except ArmError as err:\n    print(err)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "point2act[arm]"' in done.stdout


# ── paths ──────────────────────────────────────────────────────────────────────────────────────
def test_a_path_is_what_it_promises(panda: Arm) -> None:
    """Straight to the grasp and straight up, within the limits, by the published table."""
    rng = np.random.default_rng(1)
    table = Surroundings(np.array([0.0, 0.0, 1.0, 0.0]))
    config, found = ReachConfig(), 0
    for number in range(20):
        T = above_table(rng)
        path = path_to(panda, T, number, around=table)
        if isinstance(path, Unreachable):
            continue
        found += 1
        assert path.joints == panda.joints
        np.testing.assert_array_equal(path.lift[0], path.grasp)
        assert_on_line(path.approach, T, -0.1 * T[:3, 2], np.zeros(3))
        assert_on_line(path.lift, T, np.zeros(3), UP)
        way = np.concatenate([path.approach, path.lift[1:]])
        assert np.abs(np.diff(way, axis=0)).max() <= config.max_jump
        margin = np.minimum(way - LOW, HIGH - way).min()
        assert margin >= config.limit_margin - 1e-6
        assert path.limit_margin == pytest.approx(margin, abs=1e-9)
        assert path.manipulability == pytest.approx(min(map(manipulability, way)), rel=1e-3)
        assert path.clearance >= 0.0
    assert found >= 18


def assert_on_line(way: np.ndarray, T: np.ndarray, start: np.ndarray, end: np.ndarray) -> None:
    """Positions, and those half-way between them, lie on a line as the same gripper or its half turn."""
    half_way = (way[1:] + way[:-1]) / 2
    for joints, share in (
        *zip(way, np.linspace(0, 1, len(way)), strict=True),
        *zip(half_way, (np.arange(len(half_way)) + 0.5) / len(half_way), strict=True),
    ):
        T_base_gripper = gripper_by_table(joints)
        np.testing.assert_allclose(T_base_gripper[:3, 3], T[:3, 3] + start + share * (end - start), atol=1e-3)
        angles = [
            Rotation.from_matrix(T_base_gripper[:3, :3].T @ (T @ turn)[:3, :3]).magnitude()
            for turn in (np.eye(4), HALF_TURN)
        ]
        assert min(angles) < np.deg2rad(1.0)


def manipulability(joints: np.ndarray) -> float:
    """By differences, with rotations about the base's axes."""
    columns = []
    for step in 1e-6 * np.eye(7):
        before, after = by_table(joints - step), by_table(joints + step)
        turn = Rotation.from_matrix(after[:3, :3] @ before[:3, :3].T).as_rotvec()
        columns.append(np.concatenate([after[:3, 3] - before[:3, 3], turn]) / 2e-6)
    jacobian = np.array(columns).T
    return float(np.sqrt(np.linalg.det(jacobian @ jacobian.T)))


def test_where_an_arm_can_be_it_can_be_sent(panda: Arm) -> None:
    """Grippers at random positions of the joints: nearly all are found again from the home position."""
    rng = np.random.default_rng(2)
    low, high = np.array(LOW) + 0.3, np.array(HIGH) - 0.3
    found = 0
    for number, joints in enumerate(rng.uniform(low, high, (30, 7))):
        outcome = path_to(panda, gripper_by_table(joints), number, approach=0.01, lift_base=0.01 * UP)
        if isinstance(outcome, JointPath):
            T_base_gripper = gripper_by_table(outcome.grasp)
            np.testing.assert_allclose(T_base_gripper[:3, 3], gripper_by_table(joints)[:3, 3], atol=1e-3)
            found += 1
    assert found >= 24  # the others overlap with themselves, or end at a limit


def test_a_gripper_turned_by_half_is_the_same_gripper(panda: Arm) -> None:
    T = above_table(np.random.default_rng(3))
    one, other = path_to(panda, T), path_to(panda, T @ HALF_TURN)
    assert isinstance(one, JointPath)
    assert isinstance(other, JointPath)
    np.testing.assert_allclose(one.approach, other.approach, atol=1e-6)
    np.testing.assert_allclose(one.lift, other.lift, atol=1e-6)


def test_the_same_seed_gives_the_same_path(panda: Arm) -> None:
    rng = np.random.default_rng(5)
    for _ in range(3):
        T = above_table(rng)
        first, again = path_to(panda, T), path_to(panda, T)
        assert isinstance(first, JointPath)
        assert isinstance(again, JointPath)
        np.testing.assert_array_equal(first.approach, again.approach)
        np.testing.assert_array_equal(first.lift, again.lift)


def test_an_arm_of_ones_own_does_what_a_ruler_says(planar: Arm) -> None:
    """Two links and a wrist: the elbow follows from the law of cosines."""
    T = planar_pose(0.7, 0.25, 20.0)
    path = path_to(planar, T, lift_base=np.array([0.0, 0.05, 0.0]))
    assert isinstance(path, JointPath)
    wrist = T[:2, 3] - 0.2 * turned(np.deg2rad(20.0))
    elbow = np.arccos((wrist @ wrist - 0.4**2 - 0.3**2) / (2 * 0.4 * 0.3))
    shoulder = np.arctan2(wrist[1], wrist[0]) - np.arctan2(0.3 * np.sin(elbow), 0.4 + 0.3 * np.cos(elbow))
    expected = [shoulder, elbow, np.deg2rad(20.0) - shoulder - elbow]
    np.testing.assert_allclose(path.grasp, expected, atol=2e-3)


# ── misses ─────────────────────────────────────────────────────────────────────────────────────
def test_what_is_too_far_is_reported_in_millimetres(planar: Arm) -> None:
    missed = path_to(planar, planar_pose(1.2, 0.0, 0.0), lift_base=np.array([0.0, 0.05, 0.0]))
    assert isinstance(missed, Unreachable)
    # The elbow stays bent by its limit of 10 degrees and the margin; the approach starts 10 cm before.
    bent = np.deg2rad(10) + ReachConfig().limit_margin
    reach = np.sqrt(0.4**2 + 0.3**2 + 2 * 0.4 * 0.3 * np.cos(bent)) + 0.2
    short = 1e3 * (1.1 - reach)
    words = missed.detail.split()
    assert missed.detail.startswith("at the start of the approach the gripper would be")
    assert float(words[words.index("mm") - 1]) == pytest.approx(short, abs=2)


def test_a_limit_in_the_way_is_reported_in_degrees(planar: Arm) -> None:
    """A gripper near the shoulder wants the elbow bent further than it goes."""
    wrist = np.sqrt(0.4**2 + 0.3**2 + 2 * 0.4 * 0.3 * np.cos(np.deg2rad(135)))
    T = planar_pose(wrist + 0.2 + 0.05, 0.0, 0.0)
    missed = path_to(planar, T, approach=0.05, lift_base=np.array([0.05, 0.0, 0.0]))
    assert isinstance(missed, Unreachable)
    over = 15 + np.rad2deg(ReachConfig().limit_margin)
    assert "two would pass its limit by" in missed.detail
    assert float(missed.detail.split()[-2]) == pytest.approx(over, abs=1)


def test_a_line_that_leaves_the_reach_says_how_far_it_came(planar: Arm) -> None:
    T = planar_pose(0.85, 0.0, 0.0)
    missed = path_to(planar, T, lift_base=np.array([0.2, 0.0, 0.0]))
    assert isinstance(missed, Unreachable)
    assert "mm into the lift" in missed.detail
    # It ends where the elbow is as straight as it goes, 0.89 m out.
    assert float(missed.detail.split()[0]) == pytest.approx(45, abs=10)
    assert 0.5 < missed.progress < 1


def test_an_arm_that_would_lie_in_the_table_does_not_reach(panda: Arm) -> None:
    T = above_table(np.random.default_rng(3))
    free = path_to(panda, T)
    assert isinstance(free, JointPath)
    shelf = Surroundings(np.array([0.0, 0.0, 1.0, -0.35]))  # everything lower than 35 cm is solid
    missed = path_to(panda, T, around=shelf)
    assert isinstance(missed, Unreachable)
    assert "mm in the table" in missed.detail
    assert missed.progress > 1


def test_what_stands_in_the_way_is_met_or_passed(panda: Arm) -> None:
    T = above_table(np.random.default_rng(3))
    free = path_to(panda, T)
    assert isinstance(free, JointPath)
    links = find_links(panda.model)
    data = mujoco.MjData(panda.model)
    data.qpos[:] = free.grasp
    mujoco.mj_kinematics(panda.model, data)
    forearm = data.geom("forearm").xpos.copy()
    post = forearm + np.array([0.0, 0.0, 0.01]) * np.arange(-5, 6)[:, None]
    gap = links.gaps(data, Surroundings(obstacles=post), 0.01)[2]
    assert gap.between == ("forearm", "an obstacle")
    assert gap.distance < -0.05
    ahead = path_to(panda, T, around=Surroundings(obstacles=forearm[None] + [0.0, 0.0, 0.1]))
    assert isinstance(ahead, JointPath)
    assert ahead.clearance >= ReachConfig().clearance
    x, y = np.meshgrid(np.linspace(-0.5, 1.0, 60), np.linspace(-0.7, 0.7, 60))
    ceiling = np.stack([x, y, np.full_like(x, 0.4)], axis=2).reshape(-1, 3)
    missed = path_to(panda, T, around=Surroundings(obstacles=ceiling))
    assert isinstance(missed, Unreachable)
    assert "in an obstacle" in missed.detail


def test_distances_are_those_of_points_on_the_links(panda: Arm) -> None:
    """The slow twin: points all over every solid, by MuJoCo's own placing of them."""
    rng = np.random.default_rng(4)
    links = find_links(panda.model)
    data = mujoco.MjData(panda.model)
    directions = rng.standard_normal((4000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    normal = np.array([0.0, 0.6, 0.8])
    obstacles = rng.uniform(-1, 1, (300, 3))
    for joints in rng.uniform(LOW, HIGH, (5, 7)):
        data.qpos[:] = joints
        mujoco.mj_kinematics(panda.model, data)
        lowest, nearest = [], []
        for geom in links.outer:
            radius, half = panda.model.geom_size[geom][:2]
            ends = radius * directions + np.sign(directions[:, 2:]) * [0, 0, half]
            tube = np.concatenate([ends * [1, 1, share] for share in np.linspace(0, 1, 2)])
            surface = tube @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]
            lowest.append((surface @ normal).min())
            local = (obstacles - data.geom_xpos[geom]) @ data.geom_xmat[geom].reshape(3, 3)
            along = np.clip(local[:, 2], -half, half)
            nearest.append((np.linalg.norm(local - along[:, None] * [0, 0, 1], axis=1) - radius).min())
        plane = np.append(normal, 0.02 - min(lowest))
        _, table, points = links.gaps(data, Surroundings(plane, obstacles), 0.0)
        assert table.distance == pytest.approx(0.02, abs=2e-3)
        assert points.distance == pytest.approx(min(*nearest, 0.05), abs=1e-9)


def test_neighbours_may_touch_and_others_not(panda: Arm) -> None:
    links = find_links(panda.model)
    data = mujoco.MjData(panda.model)

    def own(joints: np.ndarray) -> float:
        data.qpos[:] = joints
        mujoco.mj_kinematics(panda.model, data)
        return links.gaps(data, Surroundings(), 0.0)[0].distance

    assert own(panda.home) > 0.02
    assert own(np.array([0.0, 1.7, 0.0, -0.1, 0.0, 1.6, 0.8])) > 0  # the upper arm bent to the column
    folded = np.array([0.0, -0.6, 0.0, -3.0, 0.0, 0.3, 0.8])
    assert own(folded) < 0


# ── many grasps ────────────────────────────────────────────────────────────────────────────────
def test_the_reachable_ones_stay_in_their_order(panda: Arm) -> None:
    rng = np.random.default_rng(6)
    near = [grasp_at(above_table(rng), score) for score in (0.9, 0.7, 0.5)]
    T = above_table(rng)
    T[0, 3] += 1.0
    grasps = [near[0], grasp_at(T, 0.8), near[1], near[2]]
    reached, nothing = reached_by(panda, grasps)
    assert nothing is None
    assert [grasp.score for grasp in reached] == [0.9, 0.7, 0.5]
    assert all(isinstance(grasp.joint_path, JointPath) for grasp in reached)
    first, _ = reached_by(panda, grasps, max_grasps=1)
    assert [grasp.score for grasp in first] == [0.9]
    none, why = reached_by(panda, [grasps[1]])
    assert none == ()
    assert why is not None
    assert why.reason == "unreachable"
    assert why.counts == {"grasps": 1}
    assert why.detail.startswith("nearest miss of panda: ")
    assert re.search("the gripper would be 5.. mm .*out of reach", why.detail)


def reached_by(arm: Arm, grasps: list[Grasp], T_base_world: np.ndarray | None = None, **options):
    T_base_world = np.eye(4) if T_base_world is None else T_base_world
    asked = {"approach": 0.1, "lift_world": T_base_world[:3, :3].T @ UP, "rng": np.random.default_rng(0)}
    return reach_grasps(grasps, T_base_world, arm, **(asked | options))


def test_where_the_world_lies_does_not_matter(panda: Arm) -> None:
    rng = np.random.default_rng(7)
    T_base_world = np.eye(4)
    T_base_world[:3, :3] = Rotation.from_euler("xyz", [0.4, -1.0, 2.0]).as_matrix()
    T_base_world[:3, 3] = 0.3, -2.0, 1.0
    T, points = above_table(rng), rng.uniform([0.3, 0.5, 0.0], [0.5, 0.7, 0.5], (40, 3))
    plane = np.array([0.0, 0.0, 1.0, 0.0])
    T_world_base = invert(T_base_world)
    around = Surroundings(plane @ T_base_world, transform_points(T_world_base, points))
    moved = in_base(around, T_base_world)
    np.testing.assert_allclose(moved.table, plane, atol=1e-12)
    np.testing.assert_allclose(moved.obstacles, points, atol=1e-12)
    (here,), _ = reached_by(panda, [grasp_at(T)], around=Surroundings(plane, points))
    (there,), _ = reached_by(panda, [grasp_at(T_world_base @ T)], T_base_world, around=around)
    assert here.joint_path is not None
    assert there.joint_path is not None
    np.testing.assert_allclose(here.joint_path.approach, there.joint_path.approach, atol=1e-5)


def test_no_grasps_are_no_miss(panda: Arm) -> None:
    assert reached_by(panda, []) == ((), None)


# ── trials on the arm ──────────────────────────────────────────────────────────────────────────
@pytest.fixture(scope="module")
def scene() -> Scene:
    return load_scene("tabletop", 0)


def on_arm(scene: Scene, arm: Arm, query: str, lower: float = 0.0):
    grasp = oracle_grasps(scene, query, arm.gripper, np.random.default_rng(0))[0]
    T = grasp.T_world_gripper.copy()
    T[2, 3] -= lower
    path = path_to(arm, scene.T_base_world @ T, opening=grasp.width)
    assert isinstance(path, JointPath)
    return try_grasp_on_arm(scene, query, grasp, path, arm, TrialConfig(pictures=False))


def test_an_arm_lifts_what_it_grasps(scene: Scene, panda: Arm) -> None:
    trial = on_arm(scene, panda, "hammer")
    assert (trial.outcome, trial.success, trial.by_part) == ("success", True, True)
    assert trial.lifted == "hammer"
    assert trial.rise > 0.12


def test_an_arm_feels_the_table(scene: Scene, panda: Arm) -> None:
    assert on_arm(scene, panda, "hammer", lower=0.02).outcome == "collision"


def test_places_of_joints_are_as_far_apart_at_all_joint_positions(panda: Arm):
    rng = np.random.default_rng(0)
    low, high = panda.limits.T
    lengths = []
    for _ in range(5):
        joints = rng.uniform(low, high)
        places = panda.joint_places(joints)
        assert places.shape == (len(panda.joints) + 2, 3)
        np.testing.assert_array_equal(places[0], np.zeros(3))
        flange = panda.T_base_gripper(joints, 0.04) @ invert(panda.T_flange_gripper(0.04))
        np.testing.assert_allclose(places[-1], flange[:3, 3], atol=1e-9)
        lengths.append(np.linalg.norm(np.diff(places[1:], axis=0), axis=1))
    np.testing.assert_allclose(lengths, np.tile(lengths[0], (5, 1)), atol=1e-9)
