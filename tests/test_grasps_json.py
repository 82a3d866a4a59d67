"""grasps.json and PLY: exact, finite, valid, and read back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import write_schemas
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from scipy.spatial.transform import Rotation

from point2act.core.errors import ResultsError, SceneError
from point2act.core.ply import read_ply
from point2act.core.types import (
    Capture,
    GaussianScene,
    Grasp,
    OrientedBox,
    PlacePose,
    Plan,
    Query,
    QueryResult,
    Region,
    RelevancyField,
    Step,
    Support,
    Target,
)
from point2act.data.scene_ply import read_splat_ply, write_relevancy_ply, write_splat_ply
from point2act.data.task_plan import plan_document
from point2act.grasping.grasps_json import read_grasps, write_grasps
from point2act.grasping.grippers import Boxes, Gripper

GRIPPER = Gripper("panda", 0.08, (0.02, 0.02), Boxes.of(), Boxes.of(), 70.0)
CAPTURE = Capture(Path("captures/desk"), (), 1e-3, None, None, True)
QUERY = Query("grasp", "the handle of the mug", "grasp")


def rigid(seed: int) -> np.ndarray:
    T_a_b = np.eye(4)
    T_a_b[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    T_a_b[:3, 3] = np.random.default_rng(seed).normal(size=3)
    return T_a_b


def a_region(confidence: float = 0.93) -> Region:
    box = OrientedBox(np.array([0.4, 0.0, 0.1]), np.eye(3), np.array([0.02, 0.01, 0.04]))
    return Region(np.array([0.41, 0.02, 0.11]), confidence, Support(19, 3, 2, ("images/0007.png",)), box)


def a_grasp(score: float = 0.87, seed: int = 0) -> Grasp:
    contacts = np.array([[0.0, 0.01, 0.1], [0.0, -0.01, 0.1]])
    return Grasp(
        rigid(seed),
        0.021,
        score,
        0.95,
        0.81,
        contacts,
        0.012,
        approach_width=0.033,
        free_fully_open=True,
        approach_seen=0.75,
    )


def a_result(**changes) -> QueryResult:
    other = replace(a_region(0.2), action_point=np.zeros(3))
    return replace(QueryResult(QUERY, a_region(), (a_grasp(),), (other,)), **changes)


def written(path: Path, *results: QueryResult, capture: Capture = CAPTURE) -> dict:
    write_grasps(path / "grasps.json", results, capture=capture, gripper=GRIPPER)
    return read_grasps(path / "grasps.json")


def test_the_document_is_the_one_promised(tmp_path: Path):
    document = written(tmp_path, a_result())
    created = document.pop("created")
    assert created.endswith("Z")
    assert document == {
        "version": 1,
        "frame": "world",
        "capture": Path("captures/desk").resolve().as_posix(),
        "gripper": {"name": "panda", "max_width": 0.08},
        "results": [
            {
                "query": {"name": "grasp", "text": "the handle of the mug", "role": "grasp"},
                "action_point": [0.41, 0.02, 0.11],
                "confidence": 0.93,
                "support": {"agree": 19, "disagree": 3, "unseen": 2, "rejected_images": ["images/0007.png"]},
                "region": {
                    "center": [0.4, 0.0, 0.1],
                    "axes": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
                    "half_extents": [0.02, 0.01, 0.04],
                },
                "grasps": [
                    {
                        "T_world_gripper": rigid(0).tolist(),
                        "T_base_gripper": None,
                        "width": 0.021,
                        "approach_width": 0.033,
                        "flange_distance": None,
                        "score": 0.87,
                        "relevancy": 0.95,
                        "quality": 0.81,
                        "contacts": [[0.0, 0.01, 0.1], [0.0, -0.01, 0.1]],
                        "contacts_seen": [True, True],
                        "terms": {},
                        "approach_clearance": 0.012,
                        "free_fully_open": True,
                        "approach_seen": 0.75,
                        "lift_clearance": None,
                        "avoid_clearance": None,
                    }
                ],
                "alternatives": [{"action_point": [0, 0, 0], "confidence": 0.2}],
                "reason": None,
                "detail": None,
            }
        ],
    }


def test_the_best_grasp_comes_first(tmp_path: Path):
    grasps = tuple(a_grasp(score, seed) for seed, score in enumerate([0.2, 0.9, 0.5]))
    scores = [g["score"] for g in written(tmp_path, a_result(grasps=grasps))["results"][0]["grasps"]]
    assert scores == [0.9, 0.5, 0.2]


def test_grasps_in_the_base_frame(tmp_path: Path):
    T_base_world = rigid(5)
    grasp = written(tmp_path, a_result(), capture=replace(CAPTURE, T_base_world=T_base_world))["results"][0][
        "grasps"
    ][0]
    np.testing.assert_allclose(grasp["T_base_gripper"], T_base_world @ rigid(0), atol=1e-15)
    assert grasp["T_base_gripper"][3] == [0, 0, 0, 1]


def test_an_empty_result_says_why(tmp_path: Path):
    nothing = QueryResult(QUERY, None, reason="no_points", detail="no image has an answer")
    too_wide = a_result(grasps=(), reason="too_wide", detail="it is 12 cm wide")
    first, second = written(tmp_path, nothing, too_wide)["results"]
    assert (first["action_point"], first["region"], first["support"], first["confidence"]) == (
        None,
        None,
        None,
        0,
    )
    assert (first["reason"], first["grasps"]) == ("no_points", [])
    assert (second["reason"], second["detail"]) == ("too_wide", "it is 12 cm wide")
    assert second["action_point"] is not None


def test_only_what_is_to_be_grasped_needs_grasps(tmp_path: Path):
    place = a_result(query=replace(QUERY, role="place"), grasps=())
    assert written(tmp_path, place)["results"][0]["reason"] is None


def a_place(**changes) -> QueryResult:
    pose = PlacePose(rigid(3), 0.042, 0.0007)
    return a_result(**{"query": replace(QUERY, role="place"), "grasps": (), "place": pose, **changes})


def test_a_place_is_written_in_both_frames(tmp_path: Path):
    T_base_world = rigid(5)
    place = written(tmp_path, a_place(), capture=replace(CAPTURE, T_base_world=T_base_world))["results"][0][
        "place"
    ]
    assert place == {
        "T_world_place": rigid(3).tolist(),
        "T_base_place": (T_base_world @ rigid(3)).tolist(),
        "normal": rigid(3)[:3, 2].tolist(),
        "flat_radius": 0.042,
        "roughness": 0.0007,
    }
    assert written(tmp_path, a_place())["results"][0]["place"]["T_base_place"] is None


def test_only_the_role_place_has_a_place(tmp_path: Path):
    nowhere = a_place(place=None, reason="no_geometry", detail="2 points make no plane")
    unfound = a_place(region=None, place=None, reason="no_points", detail="no image has an answer")
    held, empty, unknown = written(tmp_path, a_result(), nowhere, unfound)["results"]
    assert "place" not in held
    assert empty["place"] is unknown["place"] is None
    assert empty["action_point"] is not None


def test_the_distance_to_what_is_to_be_avoided_is_written(tmp_path: Path):
    grasps = (replace(a_grasp(), avoid_clearance=0.031), replace(a_grasp(0.1), avoid_clearance=0.0))
    document = written(tmp_path, a_result(grasps=grasps))
    assert [g["avoid_clearance"] for g in document["results"][0]["grasps"]] == [0.031, 0.0]


def test_an_opening_that_was_not_checked_is_null(tmp_path: Path):
    unchecked = replace(a_grasp(), approach_width=None, free_fully_open=None)
    (grasp,) = written(tmp_path, a_result(grasps=(unchecked,)))["results"][0]["grasps"]
    assert grasp["approach_width"] is grasp["free_fully_open"] is None


def test_documents_of_earlier_versions_are_read(tmp_path: Path):
    document = written(tmp_path, a_result(), a_place())
    for name in ("avoid_clearance", "approach_width", "free_fully_open"):
        document["results"][0]["grasps"][0].pop(name)
    document["results"][1].pop("place")
    (tmp_path / "grasps.json").write_text(json.dumps(document))
    assert read_grasps(tmp_path / "grasps.json") == document


def test_no_queries_no_results(tmp_path: Path):
    assert written(tmp_path)["results"] == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"grasps": ()}, "has no reason: an answer without grasps gives one"),
        ({"region": None, "grasps": ()}, "without an action point"),
        ({"region": None, "grasps": (), "reason": "no_points"}, "in words"),
        ({"region": None, "reason": "no_points", "detail": "x"}, "no grasps without an action point"),
        ({"grasps": (a_grasp(float("nan")),)}, r"please report it.*grasps\[0\]\.score' is nan: "),
        ({"grasps": (replace(a_grasp(), width=float("inf")),)}, r"grasps\[0\]\.width"),
        ({"grasps": (replace(a_grasp(), approach_width=float("nan")),)}, r"grasps\[0\]\.approach_width"),
        (
            {"grasps": (replace(a_grasp(), T_world_gripper=np.full((4, 4), np.nan)),)},
            r"T_world_gripper\[0\]\[0\]",
        ),
        ({"grasps": (replace(a_grasp(), width=-0.1),)}, "not below zero"),
        ({"region": a_region(1.5)}, "from 0 to 1"),
        ({"grasps": (replace(a_grasp(), avoid_clearance=-0.1),)}, "region to avoid"),
        (
            {
                "query": replace(QUERY, role="place"),
                "place": PlacePose(np.full((4, 4), np.nan), 0.0, 0.0),
            },
            r"place\.normal\[0\]' is nan: three numbers",
        ),
        (
            {"query": replace(QUERY, role="place"), "place": PlacePose(np.eye(4), -0.1, 0.0)},
            "not below zero",
        ),
        (
            {
                "query": replace(QUERY, role="place"),
                "region": None,
                "grasps": (),
                "place": PlacePose(np.eye(4), 0.1, 0.0),
                "reason": "no_points",
                "detail": "x",
            },
            "no place without an action point",
        ),
    ],
)
def test_wrong_results_are_not_written(tmp_path: Path, changes: dict, words: str):
    with pytest.raises(ResultsError, match=words):
        written(tmp_path, a_result(**changes))
    assert not list(tmp_path.iterdir())


def test_rounding_beyond_one_is_one(tmp_path: Path):
    assert written(tmp_path, a_result(region=a_region(1 + 1e-9)))["results"][0]["confidence"] == 1.0


OTHERS: dict[str, tuple[Callable[[dict], object], str]] = {
    "no frame": (lambda d: d.pop("frame"), "'frame' is missing: the frame of everything but"),
    "a newer version": (lambda d: d.update(version=2), "'version' is 2: write 1; .*newer release"),
    "no time": (lambda d: d.update(created="yesterday"), "'created' is 'yesterday': a time in UTC"),
    "no detail": (lambda d: d["results"][0].pop("detail"), r"'results\[0\]\.detail' is missing: the reason"),
    "another reason": (lambda d: d["results"][0].update(reason="bad_luck"), r"reason' is 'bad_luck'"),
    "a small pose": (
        lambda d: d["results"][0]["grasps"][0].update(T_world_gripper=[[1, 2], [3, 4]]),
        r"T_world_gripper\[0\]' is \[1, 2\]: write four numbers",
    ),
    "another role": (lambda d: d["results"][0]["query"].update(role="grab"), "'grab': grasp, place or avoid"),
    "a place to grasp": (lambda d: d["results"][0].update(place=None), "only the role place has a place"),
    "a word for a number": (
        lambda d: d["results"][0]["grasps"][0].update(avoid_clearance="far"),
        r"'results\[0\]\.grasps\[0\]\.avoid_clearance' is 'far': metres from the gripper",
    ),
    "no grasps": (lambda d: d["results"][0].update(grasps=[]), "an answer without grasps gives one"),
    "nowhere": (lambda d: d["results"][0].update(action_point=None), "without an action point gives one"),
    "a region left out": (lambda d: d["results"][0].update(region=None), "an action point has both"),
    "fewer than none": (lambda d: d["results"][0].update(counts={"too_wide": -1}), r"counts.*' is -1: "),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_documents_are_refused(tmp_path: Path, name: str):
    change, words = OTHERS[name]
    document = written(tmp_path, a_result())
    schema = Draft202012Validator(json.loads(write_schemas.path("grasps").read_text()))
    assert schema.is_valid(document)
    change(document)
    assert not schema.is_valid(document)
    (tmp_path / "grasps.json").write_text(json.dumps(document))
    with pytest.raises(ResultsError, match=rf"grasps\.json is not a grasps\.json: .*{words}"):
        read_grasps(tmp_path / "grasps.json")


def test_what_a_newer_release_adds_is_ignored(tmp_path: Path):
    document = written(tmp_path, a_result(), a_place())
    for part in (document, document["results"][0], document["results"][0]["grasps"][0]):
        part["added_later"] = {"by": "someone"}
    (tmp_path / "grasps.json").write_text(json.dumps(document))
    assert read_grasps(tmp_path / "grasps.json") == document


# ── what the results are for ───────────────────────────────────────────────────────────────────
def a_plan(query: Query = QUERY) -> Plan:
    return Plan("Bring me coffee.", (Step("lift the mug", (Target(query, "mug", "handle", "It is cool."),)),))


def test_a_plan_is_kept_with_its_results(tmp_path: Path):
    path = tmp_path / "grasps.json"
    write_grasps(path, [a_result()], capture=CAPTURE, gripper=GRIPPER, plan=a_plan())
    assert read_grasps(path)["plan"] == {
        "instruction": "Bring me coffee.",
        "model": "",
        "steps": [
            {
                "action": "lift the mug",
                "targets": [
                    {
                        "query": {"name": "grasp", "text": "the handle of the mug", "role": "grasp"},
                        "object": "mug",
                        "part": "handle",
                        "reason": "It is cool.",
                    }
                ],
            }
        ],
    }


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (a_plan(replace(QUERY, name="cup")), r"plan\.steps\[0\] needs the query 'cup'"),
        (a_plan(replace(QUERY, role="avoid")), "to avoid, but it is"),
        (replace(a_plan(), steps=()), r"'plan\.steps' is \[\]"),
        (replace(a_plan(), instruction=" "), "'plan.instruction' is ' '"),
    ],
)
def test_a_plan_without_its_results_is_not_written(tmp_path: Path, plan: Plan, words: str):
    path = tmp_path / "grasps.json"
    with pytest.raises(ResultsError, match=words):
        write_grasps(path, [a_result()], capture=CAPTURE, gripper=GRIPPER, plan=plan)
    assert not list(tmp_path.iterdir())
    document = written(tmp_path, a_result()) | {"plan": plan_document(plan)}
    path.write_text(json.dumps(document))
    with pytest.raises(ResultsError, match=rf"grasps\.json: .*{words}"):
        read_grasps(path)


# ── clouds ─────────────────────────────────────────────────────────────────────────────────────
def a_scene(count: int, degree: int, seed: int = 0) -> GaussianScene:
    rng = np.random.default_rng(seed)
    quats = rng.normal(size=(count, 4))
    return GaussianScene(
        means=rng.normal(size=(count, 3)),
        quats=quats / np.linalg.norm(quats, axis=1, keepdims=True),
        scales=rng.uniform(1e-4, 0.5, size=(count, 3)),
        opacities=rng.uniform(0.001, 0.999, size=count),
        sh=rng.normal(size=(count, (degree + 1) ** 2, 3)),
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(0, 6), degree=st.integers(0, 4), seed=st.integers(0, 1000))
def test_splats_round_trip(tmp_path: Path, count: int, degree: int, seed: int):
    scene = a_scene(count, degree, seed)
    write_splat_ply(tmp_path / "splat.ply", scene)
    found = read_splat_ply(tmp_path / "splat.ply")
    for name in ("means", "quats", "scales", "opacities", "sh"):
        np.testing.assert_allclose(getattr(found, name), getattr(scene, name), rtol=1e-5, atol=1e-6)


def test_splats_as_the_original_code_writes_them(tmp_path: Path):
    scene = a_scene(2, 1)
    write_splat_ply(tmp_path / "splat.ply", scene)
    raw = read_ply(tmp_path / "splat.ply", SceneError)
    rest = [f"f_rest_{index}" for index in range(9)]
    shape = ["scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    assert list(raw.dtype.names or ()) == [
        "x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", *rest, "opacity", *shape,
    ]  # fmt: skip
    assert all(raw.dtype[name] == np.float32 for name in raw.dtype.names or ())
    # All three higher coefficients of red, then of green, then of blue.
    np.testing.assert_allclose([raw[name][0] for name in rest], scene.sh[0, 1:].T.ravel(), rtol=1e-6)
    np.testing.assert_allclose(raw["opacity"], np.log(scene.opacities / (1 - scene.opacities)), rtol=1e-5)
    np.testing.assert_allclose(raw["scale_1"], np.log(scene.scales[:, 1]), rtol=1e-6)
    np.testing.assert_allclose(raw["rot_0"], scene.quats[:, 0], rtol=1e-6)


def test_opacities_of_nothing_and_all_are_kept_finite(tmp_path: Path):
    scene = replace(a_scene(2, 0), opacities=np.array([0.0, 1.0]))
    write_splat_ply(tmp_path / "splat.ply", scene)
    np.testing.assert_allclose(read_splat_ply(tmp_path / "splat.ply").opacities, [0, 1], atol=2e-6)


def test_float32_scenes_are_scenes(tmp_path: Path):
    scene = a_scene(3, 1)
    single = GaussianScene(*(getattr(scene, name).astype(np.float32) for name in vars(scene)))
    write_splat_ply(tmp_path / "splat.ply", single)
    np.testing.assert_allclose(read_splat_ply(tmp_path / "splat.ply").means, scene.means, rtol=1e-5)


@pytest.mark.parametrize(
    ("field", "value"),
    [("means", np.nan), ("scales", 0.0), ("scales", -1.0), ("sh", np.inf), ("opacities", np.nan)],
)
def test_broken_splats_are_not_written(tmp_path: Path, field: str, value: float):
    scene = a_scene(3, 0)
    getattr(scene, field)[1] = value
    with pytest.raises(SceneError, match="1 of 3"):
        write_splat_ply(tmp_path / "splat.ply", scene)
    assert not list(tmp_path.iterdir())


def test_other_clouds_are_no_splats(tmp_path: Path):
    scene = a_scene(3, 0)
    relevancy = RelevancyField((QUERY,), np.ones((3, 1)))
    write_relevancy_ply(tmp_path / "cloud.ply", scene, relevancy)
    with pytest.raises(SceneError, match="lacks f_dc_0"):
        read_splat_ply(tmp_path / "cloud.ply")
    with pytest.raises(SceneError, match="cannot be read"):
        read_splat_ply(tmp_path / "nothing.ply")
    write_splat_ply(tmp_path / "splat.ply", scene)
    data = (tmp_path / "splat.ply").read_bytes()
    (tmp_path / "splat.ply").write_bytes(data[:-16] + np.zeros(4, "<f4").tobytes())
    with pytest.raises(SceneError, match="not finite"):
        read_splat_ply(tmp_path / "splat.ply")


# From the end of a splat: four numbers of the quaternion, three logarithms of sizes.
# 0x447A0000 is 1000, 0x7F800001 a signalling NaN, which warns where it is cast.
@pytest.mark.parametrize(("place", "bits"), [(-5, 0x447A0000), (-1, 0x7F800001), (0, 0x7F800001)])
def test_splats_of_absurd_numbers_are_refused(tmp_path: Path, place: int, bits: int):
    path = tmp_path / "splat.ply"
    write_splat_ply(path, a_scene(1, 0))
    data = path.read_bytes()
    header = data.index(b"end_header\n") + len(b"end_header\n")
    numbers = np.frombuffer(data[header:], "<u4").copy()
    numbers[place] = bits
    path.write_bytes(data[:header] + numbers.tobytes())
    with pytest.raises(SceneError, match="not finite"):
        read_splat_ply(path)


def test_relevancy_is_coloured_and_kept(tmp_path: Path):
    scene = a_scene(3, 1)
    queries = tuple(Query(name, "x") for name in ("left ear", "left-ear", "nose"))
    values = np.array([[0.0, 0.0, 0.0], [0.2, 0.5, 0.1], [0.0, 0.0, 1.0]])
    write_relevancy_ply(tmp_path / "cloud.ply", scene, RelevancyField(queries, values))
    cloud = read_ply(tmp_path / "cloud.ply", SceneError)
    names = list(cloud.dtype.names or ())[6:]
    assert names == ["relevancy_left_ear", "relevancy_left_ear_1", "relevancy_nose"]
    np.testing.assert_allclose(np.stack([cloud[name] for name in names], axis=1), values, rtol=1e-6)
    np.testing.assert_allclose(np.stack([cloud[axis] for axis in "xyz"], axis=1), scene.means, rtol=1e-6)
    colors = np.stack([cloud[channel] for channel in ("red", "green", "blue")], axis=1)
    np.testing.assert_array_equal(colors, [[68, 1, 84], [33, 145, 140], [253, 231, 37]])


def test_no_queries_no_relevancy(tmp_path: Path):
    write_relevancy_ply(tmp_path / "c.ply", a_scene(2, 0), RelevancyField((), np.zeros((2, 0))))
    assert len(read_ply(tmp_path / "c.ply", SceneError)) == 2
