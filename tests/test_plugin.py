"""The nerfstudio plugin: frames both ways, captures through the datamanager, and its commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import synthetic
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from point2act.cli.main import main
from point2act.core.errors import CaptureError, RunError, SceneError
from point2act.core.geometry import (
    back_project,
    opengl_to_opencv,
    pixel_centers,
    project,
    quaternion_to_matrix,
)
from point2act.core.types import Camera, GaussianScene, PointSet, View
from point2act.data.capture import read_capture
from point2act.data.points import read_points
from point2act.data.view_loader import ViewLoader
from point2act.grasping.grasps_json import read_grasps
from point2act.localization.feature_files import write_features
from point2act.localization.features import SceneFeatures
from point2act.pipeline.finished_run import open_run
from point2act.pipeline.run_config import RunConfig
from point2act.pipeline.session import Session
from point2act.pipeline.session_result import join_relevancy
from point2act.splatting.gaussians import colors, to_parameters
from point2act.splatting.render import render

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import nerfstudio_import  # noqa: F401 (before nerfstudio)
    from nerfstudio.cameras.cameras import CameraType
    from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
    from nerfstudio.data.scene_box import OrientedBox
    from nerfstudio.engine.optimizers import Optimizers
    from nerfstudio.scripts.exporter import ExportGaussianSplat
    from nerfstudio.scripts.render import DatasetRender

    from point2act.plugin import bridge, captures
    from point2act.plugin.bridge import Similarity
    from point2act.plugin.config import point2act_method
    from point2act.plugin.datamanager import METADATA_KEY
    from point2act.plugin.evaluation import image_metrics
    from point2act.plugin.rates import FallingRateConfig
    from point2act.plugin.run import Saved, load_run
    from point2act.splatting.losses import psnr

# ── frames ─────────────────────────────────────────────────────────────────────────────────────
seeds = st.integers(0, 2**32 - 1)


def random_similarity(rng: np.random.Generator) -> Similarity:
    return Similarity(
        Rotation.random(random_state=rng).as_matrix(), rng.normal(size=3), float(np.exp(rng.normal()))
    )


def random_pose(rng: np.random.Generator) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.random(random_state=rng).as_matrix()
    pose[:3, 3] = rng.normal(size=3)
    return pose


def random_scene(rng: np.random.Generator, count: int = 30, degree: int = 2) -> GaussianScene:
    quats = rng.normal(size=(count, 4))
    return GaussianScene(
        means=rng.normal(size=(count, 3)) * 0.3,
        quats=quats / np.linalg.norm(quats, axis=1, keepdims=True),
        scales=np.exp(rng.normal(-3, 0.5, size=(count, 3))),
        opacities=rng.uniform(0.1, 0.9, count),
        sh=rng.normal(size=(count, (degree + 1) ** 2, 3)) * 0.2,
    )


def covariances(scene: GaussianScene) -> np.ndarray:
    halves = quaternion_to_matrix(scene.quats) * scene.scales[:, None, :]
    return halves @ np.swapaxes(halves, 1, 2)


def assert_same_scene(a: GaussianScene, b: GaussianScene) -> None:
    np.testing.assert_allclose(a.means, b.means, atol=1e-9)
    np.testing.assert_allclose(covariances(a), covariances(b), atol=1e-9)
    np.testing.assert_allclose(a.sh, b.sh, atol=1e-9)
    np.testing.assert_allclose(a.opacities, b.opacities)


@given(seeds)
def test_similarity_and_its_inverse_undo_each_other(seed: int):
    rng = np.random.default_rng(seed)
    S, points, pose = random_similarity(rng), rng.normal(size=(7, 3)), random_pose(rng)
    np.testing.assert_allclose(S.inverse().move_points(S.move_points(points)), points, atol=1e-9)
    np.testing.assert_allclose(S.inverse().move_pose(S.move_pose(pose)), pose, atol=1e-9)
    np.testing.assert_allclose(S.inverse().matrix @ S.matrix, np.eye(4), atol=1e-9)
    np.testing.assert_allclose(Similarity.from_matrix(S.matrix).matrix, S.matrix, atol=1e-9)


@given(seeds)
def test_similarity_matrix_moves_points(seed: int):
    rng = np.random.default_rng(seed)
    S, point = random_similarity(rng), rng.normal(size=3)
    np.testing.assert_allclose((S.matrix @ [*point, 1])[:3], S.move_points(point), atol=1e-9)


@given(seeds, st.integers(2, 6))
def test_similarity_is_found_from_the_same_cameras(seed: int, count: int):
    rng = np.random.default_rng(seed)
    S = random_similarity(rng)
    T_b_cams = np.array([random_pose(rng) for _ in range(count)])
    T_a_cams = np.array([S.move_pose(pose) for pose in T_b_cams])
    np.testing.assert_allclose(Similarity.between(T_a_cams, T_b_cams).matrix, S.matrix, atol=1e-6)


def test_similarity_follows_nerfstudios_arithmetic():
    rng = np.random.default_rng(0)
    transform, scale, pose = random_pose(rng)[:3], 0.37, random_pose(rng)
    moved = transform @ pose  # nerfstudio_dataparser.py: orient and centre, then scale the origins
    moved[:, 3] *= scale
    S = Similarity.from_dataparser(transform, scale)
    np.testing.assert_allclose(S.move_pose(pose)[:3], moved, atol=1e-12)


@given(seeds)
def test_pixels_do_not_move_with_the_frame(seed: int):
    rng = np.random.default_rng(seed)
    S, pose, camera = random_similarity(rng), random_pose(rng), synthetic.pinhole()
    points = rng.normal(size=(9, 3)) @ pose[:3, :3].T + pose[:3, :3] @ [0, 0, 6] + pose[:3, 3]
    pixels, depth = project(camera, pose, points)
    moved_pixels, moved_depth = project(camera, S.move_pose(pose), S.move_points(points))
    np.testing.assert_allclose(moved_pixels, pixels, atol=1e-6)
    np.testing.assert_allclose(moved_depth, S.scale * depth, rtol=1e-9)


@given(seeds, st.integers(0, 3))
def test_scene_moves_there_and_back(seed: int, degree: int):
    rng = np.random.default_rng(seed)
    S, scene = random_similarity(rng), random_scene(rng, degree=degree)
    moved = S.move_scene(scene)
    turned = S.scale**2 * S.rotation @ covariances(scene) @ S.rotation.T
    np.testing.assert_allclose(covariances(moved), turned, atol=1e-9)
    assert_same_scene(S.inverse().move_scene(moved), scene)


@given(seeds, st.integers(0, 3))
def test_colours_turn_with_the_scene(seed: int, degree: int):
    rng = np.random.default_rng(seed)
    S, scene, pose = random_similarity(rng), random_scene(rng, degree=degree), random_pose(rng)

    def seen(scene: GaussianScene, pose: np.ndarray) -> np.ndarray:
        parameters = to_parameters(scene, degree=degree)
        return colors(parameters, torch.tensor(pose, dtype=torch.float32), degree=degree).detach().numpy()

    np.testing.assert_allclose(seen(S.move_scene(scene), S.move_pose(pose)), seen(scene, pose), atol=1e-4)


def test_turning_colours_needs_the_rotation():
    scene = random_scene(np.random.default_rng(1))
    turned = bridge.rotate_sh(scene.sh, Rotation.from_euler("x", 90, degrees=True).as_matrix())
    assert np.abs(turned - scene.sh).max() > 0.1
    np.testing.assert_allclose(turned[:, 0], scene.sh[:, 0], atol=1e-12)


def test_pictures_do_not_change_with_the_frame():
    rng = np.random.default_rng(3)
    S, scene, camera = random_similarity(rng), random_scene(rng, 200), synthetic.pinhole()
    pose = synthetic.look_at(np.array([2.0, 0.5, 1.0]), np.zeros(3))

    def picture(scene: GaussianScene, pose: np.ndarray):
        arrays = (scene.means, scene.quats, scene.scales, scene.opacities, scene.sh[:, 0])
        tensors = (torch.tensor(array, dtype=torch.float32) for array in arrays)
        return render(*tensors, torch.tensor(np.linalg.inv(pose), dtype=torch.float32), camera)

    before, after = picture(scene, pose), picture(S.move_scene(scene), S.move_pose(pose))
    assert before.alpha.mean() > 0.01
    difference = (after.features - before.features).abs()
    assert difference.median() < 1e-5
    assert (difference > 1e-2).float().mean() < 0.01
    depths = (after.depth / S.scale - before.depth).abs()[before.alpha > 0.1]
    assert depths.median() < 1e-4


def assert_same_camera(a: Camera, b: Camera) -> None:
    np.testing.assert_allclose(a.K, b.K, rtol=1e-6)
    assert (a.height, a.width) == (b.height, b.width)


# ── cameras ────────────────────────────────────────────────────────────────────────────────────
def test_cameras_survive_nerfstudio():
    views = synthetic.views(3)
    cameras = bridge.cameras_of(views)
    poses = bridge.poses_of(cameras)
    for index, view in enumerate(views):
        assert_same_camera(bridge.camera_of(cameras[index]), view.camera)
        np.testing.assert_allclose(poses[index], view.T_world_cam, atol=1e-6)


def test_tensor_poses_match_numpy():
    pose = random_pose(np.random.default_rng(0))
    camera_to_world = torch.tensor(opengl_to_opencv(pose)[:3], requires_grad=True)
    T_nerf_cam = bridge.opencv_pose(camera_to_world)
    np.testing.assert_allclose(T_nerf_cam.detach().numpy(), pose, atol=1e-12)
    T_cam_nerf = bridge.invert_pose(T_nerf_cam)
    np.testing.assert_allclose(T_cam_nerf.detach().numpy(), np.linalg.inv(pose), atol=1e-12)
    T_cam_nerf.sum().backward()
    assert camera_to_world.grad is not None
    assert bool((camera_to_world.grad != 0).any())


# ── captures ───────────────────────────────────────────────────────────────────────────────────
def parse(folder: Path, **options):
    config = NerfstudioDataParserConfig(data=folder, eval_mode="interval", downscale_factor=1, **options)
    parser = config.setup()
    return parser, [parser.get_dataparser_outputs(split=split) for split in ("train", "val")]


def edit_transforms(folder: Path, change) -> None:
    path = folder / "transforms.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def assert_cameras_come_back(source: captures.Source, splits) -> None:
    """nerfstudio's cameras, taken to the world, are the file's."""
    S_world_nerf = source.S_nerf_world.inverse()
    for frames, outputs in zip(source.splits, splits, strict=True):
        for frame, pose in zip(frames, bridge.poses_of(outputs.cameras), strict=True):
            np.testing.assert_allclose(S_world_nerf.move_pose(pose), frame.T_world_cam, atol=1e-5)


def move_frames(document: dict, T_new_old: np.ndarray) -> None:
    for frame in document["frames"]:
        frame["transform_matrix"] = (T_new_old @ np.array(frame["transform_matrix"])).tolist()


def test_world_is_the_captures_whatever_nerfstudio_does(small_capture: Path):
    for options in ({}, {"orientation_method": "pca"}, {"center_method": "focus"}, {"scale_factor": 3.0}):
        parser, splits = parse(small_capture, **options)
        source = captures.read_source(parser, splits)
        assert [len(split) for split in source.splits] == [7, 1]
        assert_cameras_come_back(source, splits)


def test_world_is_the_files_after_nerfstudios_own_tools(small_capture: Path):
    """ns-process-data notes a transform and a scale that it applied before writing the poses."""

    def change(document: dict) -> None:
        document["applied_transform"] = [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0.5]]
        document["applied_scale"] = 2.0

    edit_transforms(small_capture, change)
    parser, splits = parse(small_capture)
    assert_cameras_come_back(captures.read_source(parser, splits), splits)


def test_a_rigidly_moved_capture_gives_the_moved_world(small_capture: Path):
    parser, splits = parse(small_capture)
    before = captures.read_source(parser, splits)
    T_new_old = random_pose(np.random.default_rng(5))
    edit_transforms(small_capture, lambda document: move_frames(document, T_new_old))
    parser, splits = parse(small_capture)
    after = captures.read_source(parser, splits)
    assert_cameras_come_back(after, splits)
    for old, new in zip(before.splits[0], after.splits[0], strict=True):
        assert old.name == new.name
        np.testing.assert_allclose(new.T_world_cam, T_new_old @ old.T_world_cam, atol=1e-9)


def test_parsed_captures_agree_with_our_reader(small_capture: Path):
    """The way of all other dataparsers, on a format that both can read."""
    lens = {"k1": 0.05, "k2": -0.02, "p1": 0.003, "p2": -0.001}
    edit_transforms(small_capture, lambda document: document.update(lens))
    parser, splits = parse(small_capture)
    ours, parsed = captures.read_source(parser, splits), captures._read_parsed(small_capture, splits)
    np.testing.assert_allclose(parsed.S_nerf_world.matrix, ours.S_nerf_world.matrix, atol=1e-5)
    for a, b in zip(ours.splits[0] + ours.splits[1], parsed.splits[0] + parsed.splits[1], strict=True):
        assert (a.name, a.image_path, a.depth_path, a.mask_path) == (
            b.name,
            b.image_path,
            b.depth_path,
            b.mask_path,
        )
        assert_same_camera(a.camera, b.camera)
        assert a.lens.model == b.lens.model
        padded = [np.pad(lens.coefficients, (0, 8 - len(lens.coefficients))) for lens in (a.lens, b.lens)]
        np.testing.assert_allclose(*padded, atol=1e-7)
        np.testing.assert_allclose(a.T_world_cam, b.T_world_cam, atol=1e-5)
    assert parsed.capture.depth_unit == ours.capture.depth_unit
    assert parsed.capture.metric


def test_points_of_a_dataparser_are_taken_to_the_world(small_capture: Path):
    _, splits = parse(small_capture)
    S_nerf_world = captures._read_parsed(small_capture, splits).S_nerf_world
    world = np.random.default_rng(0).normal(size=(5, 3))
    nerf = torch.tensor(S_nerf_world.move_points(world), dtype=torch.float32)
    splits[0].metadata.update(points3D_xyz=nerf, points3D_rgb=torch.full((5, 3), 51, dtype=torch.uint8))
    cloud = captures._read_parsed(small_capture, splits).cloud
    assert cloud is not None
    np.testing.assert_allclose(cloud[0], world, atol=1e-5)
    np.testing.assert_allclose(cloud[1], 0.2)


def test_a_panorama_is_refused_by_name(small_capture: Path):
    _, splits = parse(small_capture)
    splits[0].cameras.camera_type[2] = CameraType.EQUIRECTANGULAR.value
    with pytest.raises(CaptureError, match="EQUIRECTANGULAR"):
        captures._read_parsed(small_capture, splits)


# ── datamanager ────────────────────────────────────────────────────────────────────────────────
def make_datamanager(folder: Path, *, test_mode: str = "val", **options):
    config = replace(point2act_method.config.pipeline.datamanager, data=folder, **options)
    config.dataparser = replace(config.dataparser, data=folder)
    return config.setup(device="cpu", test_mode=test_mode)


def write_points(folder: Path, queries: tuple[str, ...] = ("red box", "green")) -> None:
    """Point at the blocks of the synthetic tabletop in the views that show them."""
    answers = []
    for index, pose in enumerate(synthetic.orbit(8)):
        ids = synthetic.render(pose, synthetic.rays(synthetic.pinhole())).ids
        for block, name in enumerate(queries):
            rows, columns = np.nonzero(ids == block)
            points = [[float(columns.mean() + 0.5), float(rows.mean() + 0.5)]] if len(rows) else []
            answers.append(
                {
                    "image": f"images/{index:04d}.png",
                    "query": name,
                    "points": points,
                    "visible": bool(len(rows)),
                }
            )
    document = {
        "version": 1,
        "queries": [{"name": name, "text": f"the {name}", "role": "grasp"} for name in queries],
        "answers": answers,
    }
    (folder / "points.json").write_text(json.dumps(document))


def test_batches_are_the_captures_views(small_capture: Path):
    manager = make_datamanager(small_capture)
    camera, batch = manager.next_train(0)
    view = synthetic.views()[int(Path(manager.train_dataset.image_filenames[batch["image_idx"]]).stem)]
    S = manager.train_dataset.metadata[METADATA_KEY].S_nerf_world
    np.testing.assert_array_equal(batch["image"].numpy(), view.rgb)
    np.testing.assert_allclose(batch["depth_image"][..., 0], view.depth * S.scale, atol=1e-3 * S.scale)
    assert_same_camera(bridge.camera_of(camera), view.camera)
    np.testing.assert_allclose(bridge.poses_of(camera)[0], S.move_pose(view.T_world_cam), atol=1e-5)


def test_lens_distortion_is_gone_from_the_batches(small_capture: Path):
    edit_transforms(small_capture, lambda document: document.update(k1=0.1))
    manager = make_datamanager(small_capture)
    camera, batch = manager.next_train(0)
    params = camera.distortion_params
    assert params is None or not params.any()
    assert tuple(batch["image"].shape[:2]) == (int(camera.height), int(camera.width))


def test_images_are_reduced_on_request(small_capture: Path):
    camera, batch = make_datamanager(small_capture, max_side=32).next_train(0)
    assert batch["image"].shape == (24, 32, 3)
    assert batch["depth_image"].shape == (24, 32, 1)
    assert float(camera.fx) == pytest.approx(synthetic.pinhole().fx / 2)
    assert (
        make_datamanager(small_capture, camera_res_scale_factor=0.5).next_train(0)[1]["image"].shape[1] == 32
    )


def test_five_images_leave_one_to_evaluate_on(small_capture: Path):
    edit_transforms(small_capture, lambda document: document.update(frames=document["frames"][:5]))
    manager = make_datamanager(small_capture)
    assert (len(manager.train_dataset), len(manager.eval_dataset)) == (4, 1)
    assert len(manager.fixed_indices_eval_dataloader) == 1


def test_all_images_can_be_trained_on(small_capture: Path):
    parser = replace(point2act_method.config.pipeline.datamanager.dataparser, eval_mode="all")
    manager = make_datamanager(small_capture, dataparser=parser)
    assert (len(manager.train_dataset), len(manager.eval_dataset)) == (8, 8)


def test_a_capture_without_points_says_so(small_capture: Path, capsys: pytest.CaptureFixture):
    manager = make_datamanager(small_capture)
    assert manager.train_dataset.metadata[METADATA_KEY].points is None
    output = " ".join(capsys.readouterr().out.split())
    assert "points.json does not exist: training geometry alone" in output


def test_points_are_found_beside_the_capture_or_where_configured(small_capture: Path, tmp_path: Path):
    write_points(small_capture)
    (small_capture / "points.json").rename(tmp_path / "elsewhere.json")
    manager = make_datamanager(small_capture, points=tmp_path / "elsewhere.json")
    assert len(manager.train_dataset.metadata[METADATA_KEY].points.answers) == 16
    (tmp_path / "elsewhere.json").rename(small_capture / "points.json")
    manager = make_datamanager(small_capture)
    assert [q.name for q in manager.train_dataset.metadata[METADATA_KEY].points.queries] == [
        "red box",
        "green",
    ]


def test_views_are_selected_as_by_a_run(small_capture: Path):
    write_points(small_capture)
    document = json.loads((small_capture / "points.json").read_text())
    answered = {f"images/{number:04d}.png" for number in (1, 2, 3)}
    document["answers"] = [answer for answer in document["answers"] if answer["image"] in answered]
    (small_capture / "points.json").write_text(json.dumps(document))
    used = RunConfig(max_views=5)
    expected = ViewLoader(max_views=used.max_views).select(
        read_capture(small_capture), read_points(small_capture / "points.json")
    )
    for mode in ("val", "test"):
        manager = make_datamanager(small_capture, max_views=5, test_mode=mode)
        train, held_out = manager.train_dataset, manager.eval_dataset
        names = [view.name for view in (*train.views, *held_out.views)]
        assert set(names) == {frame.name for frame in expected.frames} >= answered
        assert len(train.cameras) == len(train) == len(train.views)
        assert len(held_out.cameras) == len(held_out) == len(held_out.views)
        for path, view in zip(train.image_filenames, train.views, strict=True):
            assert view.name.endswith(path.name)


def test_poses_are_refined_as_by_a_run(small_capture: Path, monkeypatch: pytest.MonkeyPatch):
    """Training, evaluation and the opened checkpoint have the same poses."""
    shift = np.array([0.0, 0.0, 0.01])

    def refined(views):
        moved = []
        for view in views:
            pose = view.T_world_cam.copy()
            pose[:3, 3] += shift
            moved.append(replace(view, T_world_cam=pose))
        return SimpleNamespace(views=tuple(moved), changed=True, detail="poses moved by 10 mm")

    monkeypatch.setattr("point2act.plugin.datamanager.refine_poses", refined)
    given = {frame.name: frame.T_world_cam for frame in read_capture(small_capture).frames}
    pipeline = make_pipeline(small_capture)
    for dataset in (pipeline.datamanager.train_dataset, pipeline.datamanager.eval_dataset):
        S = pipeline.model._saved.S_nerf_world
        for view, pose in zip(dataset.views, bridge.poses_of(dataset.cameras), strict=True):
            world = S.inverse().move_pose(pose)
            np.testing.assert_allclose(world[:3, 3], given[view.name][:3, 3] + shift, atol=1e-5)
    saved = Saved.from_dict(pipeline.model.get_extra_state())
    assert saved.poses is not None
    assert set(saved.poses) == set(given)
    for name, pose in saved.poses.items():
        np.testing.assert_allclose(pose[:3, 3], given[name][:3, 3] + shift, atol=1e-9)
    monkeypatch.setattr("point2act.plugin.datamanager.refine_poses", lambda views: 1 / 0)
    make_datamanager(small_capture, refine_poses=False)


def test_one_image_is_too_few(small_capture: Path):
    edit_transforms(small_capture, lambda document: document.update(test_filenames=["images/0000.png"]))
    edit_transforms(small_capture, lambda document: document.update(train_filenames=[], val_filenames=[]))
    with pytest.raises(CaptureError, match="no image left to train on"):
        make_datamanager(small_capture)


# ── model ──────────────────────────────────────────────────────────────────────────────────────
def make_pipeline(folder: Path, *, test_mode: str = "val", **model_options):
    torch.manual_seed(0)
    config = deepcopy(point2act_method.config.pipeline)
    config.datamanager.data = folder
    config.model = replace(config.model, **model_options)
    pipeline = config.setup(device="cpu", test_mode=test_mode)
    return pipeline.eval() if test_mode != "val" else pipeline


def localize(model) -> None:
    model.step_post_backward(0)


def first_eval_outputs(pipeline) -> dict[str, torch.Tensor]:
    camera, _ = pipeline.datamanager.next_eval_image(0)
    return pipeline.eval().model.get_outputs_for_camera(camera)


def test_outputs_are_what_nerfstudio_shows(small_capture: Path):
    write_points(small_capture)
    pipeline = make_pipeline(small_capture)
    localize(pipeline.model)
    outputs = first_eval_outputs(pipeline)
    relevancies = {"relevancy", "relevancy_red box", "relevancy_green"}
    assert set(outputs) == {"rgb", "depth", "accumulation", *relevancies}
    for name, image in outputs.items():
        assert image.shape == (48, 64, 3 if name in ("rgb", "relevancy") else 1)
        assert bool(torch.isfinite(image).all())
        if name != "depth":
            assert float(image.min()) >= 0
            assert float(image.max()) <= 1


@pytest.mark.parametrize("named", [False, True])
def test_features_are_drawn_in_colours(named: bool, small_capture: Path, tmp_path: Path):
    """Those of another scene of the capture, where the first feature is the world's x."""
    points = np.random.default_rng(0).uniform(-0.4, 0.4, (4000, 3)) * [1, 1, 0.5]
    scene = replace(random_scene(np.random.default_rng(0), len(points)), means=points)
    values = np.stack([points[:, 0], *np.zeros((3, len(points)))], axis=1).astype(np.float32)
    features = SceneFeatures(values, np.ones(len(points), np.float32), np.zeros((len(points), 3)))
    path = tmp_path / "features.npz" if named else small_capture / "features.npz"
    write_features(path, scene, features)
    write_points(small_capture)
    pipeline = make_pipeline(small_capture, **({"features": path} if named else {}))
    localize(pipeline.model)
    outputs = first_eval_outputs(pipeline)
    assert {"features", "relevancy", "relevancy_green"} <= set(outputs)
    image, truth = outputs["features"].numpy(), synthetic.views()[0]
    assert image.shape == (48, 64, 3)
    pixels = pixel_centers(48, 64).reshape(-1, 2)
    x = back_project(truth.camera, truth.T_world_cam, pixels, truth.depth.reshape(-1).astype(float))[:, 0]
    seen = (truth.depth.reshape(-1) > 0) & (outputs["accumulation"].numpy().reshape(-1) > 0.9)
    assert np.corrcoef(image[..., 0].reshape(-1)[seen], x[seen])[0, 1] > 0.9
    pipeline.train()
    assert set(pipeline.model.get_outputs(pipeline.datamanager.next_train(0)[0])) == {
        "rgb",
        "depth",
        "accumulation",
    }


def test_a_wrong_file_of_features_is_named(small_capture: Path):
    (small_capture / "features.npz").write_bytes(b"nothing")
    with pytest.raises(SceneError, match=r"features\.npz is no file of lifted features"):
        make_pipeline(small_capture)


def test_relevancy_is_drawn_on_what_was_pointed_at(small_capture: Path):
    write_points(small_capture)
    pipeline = make_pipeline(small_capture)
    localize(pipeline.model)
    outputs = first_eval_outputs(pipeline)
    ids = synthetic.render(synthetic.orbit(8)[0], synthetic.rays(synthetic.pinhole())).ids
    for block, name in enumerate(("red box", "green")):
        image = outputs[f"relevancy_{name}"][..., 0].numpy()
        assert image[ids == block].mean() > 3 * image[ids != block].mean()
        row, column = np.unravel_index(image.argmax(), image.shape)
        assert np.hypot(*(np.argwhere(ids == block) - (row, column)).T).min() < 2


def test_start_lies_in_nerfstudios_frame(small_capture: Path):
    pipeline = make_pipeline(small_capture)
    outputs = first_eval_outputs(pipeline)
    truth = synthetic.views()[0]
    S = pipeline.model._data.S_nerf_world
    seen = (truth.depth > 0) & (outputs["accumulation"][..., 0].numpy() > 0.9)
    assert seen.mean() > 0.5
    error = np.abs(outputs["depth"][..., 0].numpy() / S.scale - truth.depth)[seen]
    assert np.median(error) < 0.01


def test_a_training_step_reaches_every_parameter(small_capture: Path):
    model = (pipeline := make_pipeline(small_capture)).model
    _, losses, metrics = pipeline.get_train_loss_dict(0)
    assert set(losses) == {"rgb", "depth"}
    assert float(metrics["psnr"]) > 10
    sum(losses.values()).backward()
    for name, parameter in model.gauss_params.items():
        assert parameter.grad is not None, name
        assert bool((parameter.grad != 0).any()), name


def test_poses_can_be_refined(small_capture: Path):
    write_points(small_capture)
    refined = replace(point2act_method.config.pipeline.model.camera_optimizer, mode="SO3xR3")
    pipeline = make_pipeline(small_capture, camera_optimizer=refined)
    _, losses, _ = pipeline.get_train_loss_dict(0)
    sum(losses.values()).backward()
    adjustment = pipeline.model.camera_optimizer.pose_adjustment
    assert int((adjustment.grad.abs().sum(dim=1) > 0).sum()) == 1
    with torch.no_grad():
        adjustment[0] = torch.tensor([0.1, 0.0, 0.0, 0.0, 0.0, 0.2])
    cameras = pipeline.datamanager.train_dataset.cameras[0:1]
    cameras.metadata = {"cam_idx": 0}
    posed = torch.eye(4)[None].repeat(1, 1, 1)
    posed[:, :3] = pipeline.model.camera_optimizer.apply_to_camera(cameras).detach()
    expected = opengl_to_opencv(posed[0].double().numpy())
    np.testing.assert_allclose(pipeline.model._posed_views()[0].T_world_cam, expected, atol=1e-5)
    assert pipeline.model._posed_views()[1].T_world_cam == pytest.approx(
        pipeline.datamanager.train_dataset.views[1].T_world_cam
    )


def test_checkpoints_carry_queries_and_relevancy(small_capture: Path):
    write_points(small_capture)
    trained = make_pipeline(small_capture)
    localize(trained.model)
    state = trained.state_dict()
    loaded = make_pipeline(small_capture, test_mode="test")
    assert loaded.model.num_points == 0
    held = list(loaded.model.gauss_params.values())
    loaded.model.load_state_dict({k.removeprefix("_model."): v for k, v in state.items()}, strict=True)
    assert all(a is b for a, b in zip(held, loaded.model.gauss_params.values(), strict=True))
    before, after = first_eval_outputs(trained), first_eval_outputs(loaded)
    assert set(before) == set(after)
    for name, image in before.items():
        torch.testing.assert_close(after[name], image)


def test_a_resumed_training_asks_what_points_say_now(small_capture: Path):
    write_points(small_capture)
    pipeline = make_pipeline(small_capture)
    localize(pipeline.model)
    state = pipeline.state_dict()
    for queries in (("blue",), ()):
        (small_capture / "points.json").unlink()
        if queries:
            write_points(small_capture, queries)
        resumed = make_pipeline(small_capture)
        resumed.load_state_dict(state)
        relevancies = {f"relevancy_{name}" for name in queries} | ({"relevancy"} if queries else set())
        assert set(first_eval_outputs(resumed)) == {"rgb", "depth", "accumulation"} | relevancies


def test_checkpoints_pass_torchs_safe_loading(small_capture: Path, tmp_path: Path):
    write_points(small_capture)
    pipeline = make_pipeline(small_capture)
    optimizers = Optimizers(point2act_method.config.optimizers, pipeline.get_param_groups())
    for step in range(2):
        _, losses, _ = pipeline.get_train_loss_dict(step)
        sum(losses.values()).backward()
        optimizers.optimizer_step_all()
        for scheduler in optimizers.schedulers.values():
            scheduler.step()
    parts = {
        "pipeline": pipeline.state_dict(),
        "optimizers": {name: o.state_dict() for name, o in optimizers.optimizers.items()},
        "schedulers": {name: s.state_dict() for name, s in optimizers.schedulers.items()},
    }
    torch.save(parts, tmp_path / "checkpoint")
    assert torch.load(tmp_path / "checkpoint", weights_only=True).keys() == parts.keys()


def test_rates_fall_to_their_share_and_stay():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    scheduler = FallingRateConfig(share=0.25, steps=4).setup().get_scheduler(optimizer, 2.0)
    rates = []
    for _ in range(6):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(rates, [2.0, 2**0.5, 1.0, 0.5**0.5, 0.5, 0.5])


@pytest.mark.filterwarnings("ignore:To copy construct from a tensor:UserWarning")  # nerfstudio's box
def test_only_what_is_in_the_crop_box_is_drawn(small_capture: Path):
    write_points(small_capture)
    pipeline = make_pipeline(small_capture)
    localize(pipeline.model)
    camera, _ = pipeline.datamanager.next_eval_image(0)
    model = pipeline.eval().model

    def draw(center: float, size: float) -> dict[str, torch.Tensor]:
        box = OrientedBox.from_params((center, 0.0, 0.0), (0.0, 0.0, 0.0), (size, size, size))
        return model.get_outputs_for_camera(camera, box)

    whole, half, nothing = model.get_outputs_for_camera(camera), draw(1.0, 2.0), draw(99.0, 1.0)
    assert set(nothing) == set(whole)
    assert 0.1 < half["accumulation"].mean() / whole["accumulation"].mean() < 0.9
    assert float(nothing["accumulation"].max()) == 0
    assert all(bool(torch.isfinite(image).all()) for image in nothing.values())


def test_exported_colours_are_spherical_harmonics_at_every_degree(small_capture: Path):
    for degree in (0, 2):
        model = make_pipeline(small_capture, sh_degree=degree).model
        assert model.shs_rest.shape[1] == (degree + 1) ** 2 - 1
        torch.testing.assert_close(model.colors, 0.5 + 0.28209479177387814 * model.shs_0)


def test_relevancy_follows_when_gaussians_are_split(small_capture: Path):
    """Computed again as soon as its rows no longer match."""
    write_points(small_capture)
    model = make_pipeline(small_capture, relevancy_every=1000).model
    model._last_step = 10**6
    localize(model)
    for parameter in model.gauss_params.values():
        parameter.data = parameter.data[::2]
    model.step_post_backward(7)
    assert len(model.relevancy) == model.num_points
    assert float(model.relevancy.max()) > 0.1


# ── evaluation ─────────────────────────────────────────────────────────────────────────────────
def test_metrics_of_a_perfect_image(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    truth, depth = torch.rand(32, 40, 3), torch.rand(32, 40) + 1
    outputs = {"rgb": truth, "depth": depth[..., None]}
    metrics = image_metrics(outputs, truth, mask=None, depth=depth)
    assert metrics["psnr"] == pytest.approx(120)
    assert metrics["ssim"] == pytest.approx(1)
    assert metrics["depth_error"] == 0
    assert "lpips" not in metrics
    assert "LPIPS is left out" in capsys.readouterr().out


def test_psnr_counts_only_the_mask():
    truth = torch.zeros(4, 4, 3)
    predicted = truth.clone()
    predicted[0] = 1.0
    mask = torch.ones(4, 4, dtype=torch.bool)
    mask[0] = False
    assert float(psnr(predicted, truth)) == pytest.approx(-10 * np.log10(0.25))
    assert float(psnr(predicted + 0.1, truth, mask)) == pytest.approx(20)


# ── runs ───────────────────────────────────────────────────────────────────────────────────────
def test_what_is_saved_comes_back():
    S = random_similarity(np.random.default_rng(0))
    saved = Saved.at_start(Path("capture"), S, ())
    again = Saved.from_dict(json.loads(json.dumps(saved.to_dict())))
    assert again.capture == Path("capture").resolve()
    np.testing.assert_allclose(again.S_nerf_world.matrix, S.matrix)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (None, "does not exist"),
        ("a: [", "is no nerfstudio config"),
        ("a: 1", "not of a point2act run"),
        ("!!python/object:point2act.plugin.nowhere.Config {}", "is no nerfstudio config"),
        ("!!python/object/apply:os.system ['touch ran']", "os.system, which no config needs"),
        ("!!python/object/apply:nerfstudio.utils.scripts.run_command ['touch ran']", "it would be called"),
        ("!!python/object/new:nerfstudio.utils.scripts.run_command ['touch ran']", "it would be called"),
        ('!!python/object/apply:builtins.eval [\'open("ran", "w")\']', "it would be called"),
        ('!!python/object/apply:exec [\'open("ran", "w")\']', "it would be called"),
        ("!!python/object:torch.nn.Module {}", "it would be called"),
        ("a: !!python/module:antigravity", "the module antigravity, which no config needs"),
        ("a: !!python/name:subprocess.run", "subprocess.run, which no config needs"),
    ],
)
def test_a_bad_config_is_named_and_nothing_in_it_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, match: str
):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config.yml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RunError, match=match):
        load_run(path)
    assert not (tmp_path / "ran").exists()


def run_command(*arguments: object, folder: Path) -> str:
    """A command of nerfstudio in a process of its own, as a user would start it."""
    executable = Path(sys.executable).parent / str(arguments[0])
    command = [str(executable), *(str(argument) for argument in arguments[1:])]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "TORCH_HOME": str(folder / "torch")}
    finished = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-3000:]
    return finished.stdout + finished.stderr


def train(capture: Path, folder: Path, *options: object) -> Path:
    output = ("--output-dir", folder / "out", "--timestamp", "run")
    run_command("ns-train", "point2act", "--data", capture, *output, *options, folder=folder)
    return folder / "out" / capture.name / "point2act" / "run" / "config.yml"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    synthetic.write_capture_files(folder / "capture", synthetic.views())
    write_points(folder / "capture")
    return train(folder / "capture", folder, "--max-num-iterations", 60)


def saved_relevancy(trained: Path) -> np.ndarray:
    """The relevancy in the checkpoint of a run."""
    (checkpoint,) = (trained.parent / "nerfstudio_models").glob("*.ckpt")
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["pipeline"]
    return state["_model.relevancy"].double().numpy()


@pytest.mark.slow
def test_a_run_is_read_back_in_the_world(trained: Path):
    run = load_run(trained)
    assert run.capture.folder == trained.parents[4] / "capture"
    relevancy = saved_relevancy(trained)
    assert relevancy.shape == (len(run.scene), 2)
    # The Gaussians lie on the table and the boxes, in metres.
    assert np.median(np.abs(run.scene.means[:, 2])) < 0.05
    for block, values in zip(synthetic.TABLETOP, relevancy.T, strict=False):
        best = np.average(run.scene.means, axis=0, weights=values**4 * run.scene.opacities)
        assert np.linalg.norm(best - block.center) < 0.05


@pytest.mark.slow
def test_a_training_saves_the_relevancy_that_grasps_are_planned_with(trained: Path):
    run = load_run(trained)
    localized = run.session().localize(read_points(run.capture.folder / "points.json"))
    saved = saved_relevancy(trained)
    for column, one in enumerate(localized):
        # Rounding may put single Gaussians of the checkpoint's float32 frame on another part.
        assert np.abs(saved[:, column] - one.relevancy).mean() < 0.02
        assert one.relevancy.max() > 0.5


@pytest.mark.full
def test_a_run_is_grasped_as_the_short_loop_does(trained: Path):
    folder = trained.parents[4]
    run_command("point2act", "grasp", "--load-config", trained, "--output", "grasps.json", folder=folder)
    run_command("point2act", "run", "capture", "--output", "short", "--fit.iterations", 60, folder=folder)
    trained_results, short = (
        read_grasps(folder / name)["results"] for name in ("grasps.json", "short/grasps.json")
    )
    blocks = synthetic.TABLETOP[: len(short)]
    for one, other, block in zip(trained_results, short, blocks, strict=True):
        # The points are of the block's middle, as far from one side as from the opposite one.
        for result in (one, other):
            away = np.abs(np.subtract(result["action_point"], block.center)) - block.half_extents
            assert away.max() < 0.01
        assert bool(one["grasps"]) == bool(other["grasps"])
    report = (folder / "report.html").read_text()
    assert "training: fit the Gaussians" in report
    points = read_points(folder / "capture" / "points.json")
    one, other = load_run(trained).session(), open_run(folder / "short")
    for view in other.views:
        difference = drawn_relevancy(one, points, view) - drawn_relevancy(other, points, view)
        assert np.abs(difference).mean() < 0.02


def drawn_relevancy(session: Session, points: PointSet, view: View) -> np.ndarray:
    """The relevancy of every query as a picture from a view."""
    return session.render(view, relevancy=join_relevancy(session.localize(points))).relevancy


@pytest.mark.slow
def test_a_run_is_asked_something_new(trained: Path):
    folder = trained.parents[4]
    document = json.loads((folder / "capture" / "points.json").read_text())
    document["queries"] = [{"name": "new", "text": "the other one", "role": "grasp"}]
    second = [answer for answer in document["answers"] if answer["query"] == "green"]
    document["answers"] = [answer | {"query": "new"} for answer in second]
    points, output = folder / "other.json", folder / "new.json"
    points.write_text(json.dumps(document))
    main(["grasp", "--load-config", str(trained), "--points", str(points), "--output", str(output)])
    (result,) = read_grasps(output)["results"]
    assert result["query"]["text"] == "the other one"
    top = np.array(synthetic.TABLETOP[1].center)
    assert np.linalg.norm(np.subtract(result["action_point"], top)) < 0.05


def test_configs_of_earlier_runs_still_load():
    """Their config.yml names classes by the modules they were defined in then."""
    text = (Path(__file__).parent / "data" / "config_of_an_earlier_run.yml").read_text()
    assert "point2act.splat.start.StartConfig" in text
    loaded, now = yaml.load(text, Loader=yaml.Loader), deepcopy(point2act_method.config)
    # All views were used then, at the capture's poses, and the relevancy had settings of its own.
    del loaded.pipeline.model.relevancy
    loaded.pipeline.model = replace(loaded.pipeline.model)
    loaded.pipeline.datamanager = replace(loaded.pipeline.datamanager)
    now.pipeline.datamanager = replace(now.pipeline.datamanager, max_views=None, refine_poses=False)
    assert yaml.dump(loaded) == yaml.dump(now)


@pytest.mark.full
def test_a_run_is_evaluated(trained: Path):
    folder = trained.parents[4]
    output = run_command("ns-eval", "--load-config", trained, "--output-path", "eval.json", folder=folder)
    results = json.loads((folder / "eval.json").read_text())["results"]
    assert results["psnr"] > 20
    assert results["depth_error"] < 0.02
    assert "LPIPS is left out" in output


# What these commands do once they are loaded, as ns-train and ns-eval were: here without another 15 s each.
@pytest.mark.slow
def test_a_run_is_exported(trained: Path, tmp_path: Path):
    ExportGaussianSplat(load_config=trained, output_dir=tmp_path).main()
    header = (tmp_path / "splat.ply").read_bytes()[:2000].decode("ascii", errors="replace")
    assert f"element vertex {len(load_run(trained).scene)}" in header
    assert "property float f_rest_8" in header


@pytest.mark.slow
def test_a_run_is_rendered(trained: Path, tmp_path: Path):
    DatasetRender(load_config=trained, output_path=tmp_path, split="train", image_format="png").main()
    relevancies = ("relevancy", "relevancy_red box", "relevancy_green")
    for name in ("rgb", "depth", "accumulation", *relevancies, "gt-rgb"):
        assert len(list((tmp_path / "train" / name).glob("*.png"))) == 7


@pytest.mark.slow
def test_a_damaged_run_is_named(trained: Path, tmp_path: Path):
    config = tmp_path / "config.yml"
    config.write_bytes(trained.read_bytes())
    with pytest.raises(RunError, match="holds no checkpoint"):
        load_run(config)
    (checkpoint,) = (trained.parent / "nerfstudio_models").glob("*.ckpt")
    damaged = tmp_path / "nerfstudio_models" / checkpoint.name
    damaged.parent.mkdir()
    damaged.write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(RunError, match="cannot be read"):
        load_run(config)


@pytest.mark.slow
def test_our_failure_leaves_the_other_methods_alone(tmp_path: Path):
    """nerfstudio loads plugins unguarded; a broken point2act is reported and skipped."""
    script = (
        "import sys; sys.modules['point2act.plugin.model'] = None\n"
        "from nerfstudio.configs.method_configs import all_methods\n"
        "assert 'splatfacto' in all_methods and 'point2act' not in all_methods"
    )
    output = run_command("python", "-W", "ignore", "-c", script, folder=tmp_path)
    assert "point2act cannot be used" in output
