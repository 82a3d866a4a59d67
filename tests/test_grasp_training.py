"""Training of grasp networks: toy data is learned, families are held out, interrupted trainings go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from grasp_shards import ball, ball_shard
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from point2act.cli.learn_grasps import main as learn
from point2act.cli.main import main as cli
from point2act.core.errors import LearningError
from point2act.core.geometry import transform
from point2act.grasp_learning.examples import examples_of, held_out_families
from point2act.grasp_learning.objectives import EvaluatorLoss, FlowLoss, nearest_own
from point2act.grasp_learning.ranking import Ranked, rank, roc_area
from point2act.grasp_learning.shards import LabelledGrasps, Shard, Source, write_shard
from point2act.grasp_learning.train_config import TrainConfig, Trained
from point2act.grasp_learning.training import train_evaluator, train_flow
from point2act.grasping.end_effector import load_end_effector
from point2act.grasping.learned.cloud import LocalCloud
from point2act.grasping.learned.embodiment import embodiment_of
from point2act.grasping.learned.features import points_near, rows_of
from point2act.grasping.learned.networks import EvaluatorConfig, FlowConfig, GraspEvaluator, GraspFlow
from point2act.grasping.learned.weights import read_network

PANDA, ALLEGRO = load_end_effector("panda"), load_end_effector("allegro")
SMALL = EvaluatorConfig(num_points=48, encoder=(24, 48), head=(32,))
SMALL_FLOW = FlowConfig(num_points=32, encoder=(16, 32), code=16, width=64, blocks=2, time_features=16)
QUICK = TrainConfig(epochs=3, batch=64, learning_rate=3e-3, device="cpu")
FAMILIES = ("mug", "pan", "box", "drill", "can")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small are slower on several threads, much slower on busy cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def written(folder: Path, shards: list[Shard]) -> Path:
    for number, shard in enumerate(shards):
        write_shard(folder / f"{number:03d}.npz", shard)
    return folder


def balls(count: int, **options: int | str) -> list[Shard]:
    return [ball_shard(seed, family=FAMILIES[seed % len(FAMILIES)], **options) for seed in range(count)]


def with_labels(shard: Shard, value: bool) -> Shard:
    same = np.full(len(shard.grasps), value)
    names = ("free", "lifted", "shaken", "by_part")
    return replace(shard, grasps=replace(shard.grasps, **dict.fromkeys(names, same)))


# ── learning ───────────────────────────────────────────────────────────────────────────────────
@pytest.fixture(scope="module")
def learned(tmp_path_factory) -> tuple[Trained, Path]:
    folder = tmp_path_factory.mktemp("evaluator")
    data = written(folder / "data", balls(25))
    config = replace(QUICK, epochs=40, learning_rate=6e-3, held_out=("mug",))
    return train_evaluator(data, folder / "out", config=config, network=SMALL), folder / "out"


def test_the_evaluator_learns_where_grasps_hold(learned):
    lifted, by_part = learned[0].lifted, learned[0].by_part
    assert lifted.area > 0.9
    assert by_part.area > 0.8
    assert 0.35 < lifted.planner_area < 0.65
    assert lifted.top_one > 0.9
    assert lifted.top_one > lifted.random + 0.2
    assert lifted.best_possible == 1
    assert lifted.gain[0] <= lifted.top_one - lifted.planner_top_one <= lifted.gain[1]
    assert (lifted.regions, lifted.grasps) == (5, 200)


def test_the_result_and_the_card_say_what_was_done(learned):
    trained, output = learned
    document = json.loads((output / "panda_evaluator.json").read_text())
    assert document["held_out"] == ["mug"]
    assert document["families"] == ["box", "can", "drill", "pan"]
    assert document["grasps"] == [800, 200]
    assert document["regions"] == [20, 5]
    assert document["weights"] == "panda_evaluator.safetensors"
    assert document["lifted"]["top_one"] == trained.lifted.top_one
    assert len(document["train_losses"]) == len(document["held_out_losses"]) <= 40
    assert document["best"] == int(np.argmin(document["held_out_losses"]))
    card = " ".join((output / "panda_evaluator.md").read_text().split())
    for words in (
        "800 grasps at 20",
        "200 grasps at 5 regions of mug",
        f"| {trained.lifted.area:.3f} |",
        "--kind evaluator",
        "--held-out mug",
    ):
        assert words in card
    assert sorted(path.suffix for path in output.iterdir()) == [".json", ".md", ".safetensors"]


def hand_shard(seed: int, *, grasps: int = 24) -> Shard:
    """Return a shard with palms above a ball that point down: the grasps that a flow is to learn."""
    rng = np.random.default_rng(seed)
    down = np.diag([1.0, -1.0, -1.0])
    T = np.tile(np.eye(4), (grasps, 1, 1))
    T[:, :3, :3], T[:, :3, 3] = down, [0.0, 0.0, 0.12]
    T[:, :3, 3] += 0.003 * rng.standard_normal((grasps, 3))
    yes = np.ones(grasps, dtype=bool)
    joints = np.full((grasps, 16), 0.6)
    # Those that did not lift are elsewhere.
    lifted = np.arange(grasps) % 3 > 0
    T[~lifted, 2, 3] = -0.3
    labelled = LabelledGrasps(T, joints, joints, rng.random(grasps), yes, lifted, lifted, lifted)
    return Shard(Source("allegro", FAMILIES[seed % 5], seed, "top"), ball(rng), labelled)


def test_the_flow_moves_noise_to_the_grasps(tmp_path):
    data = written(tmp_path / "data", [hand_shard(seed) for seed in range(10)])
    config = replace(QUICK, epochs=30, patience=30, batch=32)
    trained = train_flow(data, tmp_path / "out", config=config, network=SMALL_FLOW)
    assert trained.grasps == (8 * 16, 2 * 16)
    assert trained.lifted is None
    assert trained.held_out_losses[trained.best] < 0.7 * trained.held_out_losses[0]
    flow = read_network(trained.weights, GraspFlow)
    rows = torch.as_tensor(rows_of(ball(np.random.default_rng(99)))).float()[None]
    keys = torch.zeros((1, rows.shape[1]))
    points = points_near(rows, torch.eye(3)[None], torch.zeros((1, 3)), keys, radius=0.15, count=32)
    noise = torch.randn((100, flow.size), generator=torch.Generator().manual_seed(0))
    found = flow.sample(flow.encode(points).expand(100, -1), noise, steps=10)
    off = torch.tensor([0.0, 0.0, 1.2])
    assert (found[:, :3] - off).norm(dim=1).median() < 0.4 * (noise[:, :3] - off).norm(dim=1).median()
    # Third row of the rotation's first column: the palm is level at every yaw.
    assert found[:, 5].abs().median() < 0.4 * noise[:, 5].abs().median()


# ── split ──────────────────────────────────────────────────────────────────────────────────────
def test_held_out_families_are_never_trained_on(tmp_path, monkeypatch):
    seen: list[int] = []
    plain = EvaluatorLoss.__call__

    def recorded(self, network, rows, generator, *, augment):
        if augment:
            seen.extend(self.examples.region[rows].tolist())
        return plain(self, network, rows, generator, augment=augment)

    monkeypatch.setattr(EvaluatorLoss, "__call__", recorded)
    shards = balls(10)
    config = replace(QUICK, held_out=("pan", "can"))
    trained = train_evaluator(written(tmp_path, shards), tmp_path / "out", config=config, network=SMALL)
    assert {shards[region].source.family for region in seen} == {"mug", "box", "drill"}
    assert len(seen) == 3 * 6 * 40
    assert (trained.families, trained.held_out) == (("box", "drill", "mug"), ("can", "pan"))


def test_a_fifth_of_the_families_is_held_out_by_default():
    shards = balls(5)
    drawn = held_out_families(shards, (), 0)
    assert len(drawn) == 1
    assert drawn == held_out_families(shards[::-1], (), 0)
    assert len({held_out_families(shards, (), seed) for seed in range(20)}) > 1
    assert held_out_families(balls(1), (), 0) == frozenset()
    assert len(held_out_families(balls(2), (), 0)) == 1


def test_a_wrong_split_is_refused():
    with pytest.raises(LearningError, match="there is no family cup: hold out some of box, can"):
        held_out_families(balls(5), ("cup", "pan"), 0)
    with pytest.raises(LearningError, match="all families are held out"):
        held_out_families(balls(2), ("mug", "pan"), 0)


# ── resuming ───────────────────────────────────────────────────────────────────────────────────
class StopError(Exception):
    pass


def stop_at(number: int) -> Callable[[int, int], None]:
    def tick(done: int, total: int) -> None:
        if done == number:
            raise StopError

    return tick


@pytest.mark.parametrize(
    ("train", "sizes", "shards"),
    [
        (train_evaluator, SMALL, balls(5)),
        (train_flow, SMALL_FLOW, [hand_shard(seed) for seed in range(5)]),
    ],
    ids=["evaluator", "flow"],
)
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path, train, sizes, shards):
    data = written(tmp_path / "data", shards)
    config = replace(QUICK, batch=32, epochs=4)
    whole = train(data, tmp_path / "whole", config=config, network=sizes)
    steps: list[int] = []
    train(data, tmp_path / "again", config=config, network=sizes, progress=lambda *now: steps.append(now[1]))
    assert len(steps) == steps[0]
    for number in (steps[0] // 2, steps[0] - 1):
        with pytest.raises(StopError):
            train(data, tmp_path / "part", config=config, network=sizes, progress=stop_at(number))
    resumed: list[int] = []
    parts = train(
        data, tmp_path / "part", config=config, network=sizes, progress=lambda done, _: resumed.append(done)
    )
    assert resumed[0] > 1
    assert parts.weights.read_bytes() == whole.weights.read_bytes()
    assert (tmp_path / "again" / whole.weights.name).read_bytes() == whole.weights.read_bytes()
    assert replace(parts, seconds=0.0, weights=Path()) == replace(whole, seconds=0.0, weights=Path())


def test_another_seed_gives_other_weights(tmp_path):
    data = written(tmp_path / "data", balls(2))
    one, other = (
        train_evaluator(data, tmp_path / str(seed), config=replace(QUICK, epochs=1, seed=seed), network=SMALL)
        for seed in (0, 1)
    )
    assert one.weights.read_bytes() != other.weights.read_bytes()


def interrupted(folder: Path) -> Path:
    data = written(folder / "data", balls(3))
    with pytest.raises(StopError):
        train_evaluator(data, folder / "out", config=QUICK, network=SMALL, progress=stop_at(4))
    return data


def test_a_training_of_other_options_is_not_resumed(tmp_path):
    data = interrupted(tmp_path)
    with pytest.raises(LearningError, match="of other data or options"):
        train_evaluator(data, tmp_path / "out", config=replace(QUICK, jitter=0.0), network=SMALL)
    write_shard(data / "more.npz", ball_shard(7))
    with pytest.raises(LearningError, match="of other data or options"):
        train_evaluator(data, tmp_path / "out", config=QUICK, network=SMALL)


@pytest.mark.parametrize("contents", [b"", b"no checkpoint", None])
def test_a_damaged_checkpoint_is_named(tmp_path, contents):
    data = interrupted(tmp_path)
    path = tmp_path / "out" / "panda_evaluator.checkpoint"
    path.write_bytes(path.read_bytes()[:-50] if contents is None else contents)
    with pytest.raises(LearningError, match=r"panda_evaluator\.checkpoint is damaged"):
        train_evaluator(data, tmp_path / "out", config=QUICK, network=SMALL)


# ── degenerate data ────────────────────────────────────────────────────────────────────────────
def test_one_shard_is_trained_on_without_scores(tmp_path):
    config = replace(QUICK, patience=1)
    trained = train_evaluator(written(tmp_path, balls(1)), tmp_path / "out", config=config, network=SMALL)
    assert trained.held_out_losses == ()
    assert len(trained.train_losses) == 3
    assert trained.best == 2
    assert trained.lifted is None
    assert "Held out: none" in (tmp_path / "out" / "panda_evaluator.md").read_text()


@pytest.mark.parametrize("value", [True, False])
def test_equal_labels_are_learned_and_have_no_area(tmp_path, value):
    shards = [with_labels(shard, value) for shard in balls(4, grasps=10)]
    trained = train_evaluator(written(tmp_path, shards), tmp_path / "out", config=QUICK, network=SMALL)
    assert trained.lifted.area is None
    assert trained.lifted.top_one == trained.lifted.random == float(value)
    assert trained.train_losses[-1] < trained.train_losses[0]


def test_regions_without_grasps_or_points_are_skipped(tmp_path):
    shards = [*balls(5), ball_shard(8, grasps=0, family="pan")]
    empty = ball_shard(9, family="pan")
    shards.append(replace(empty, cloud=empty.cloud.only(slice(0))))
    config = replace(QUICK, epochs=1, held_out=("pan",))
    trained = train_evaluator(written(tmp_path, shards), tmp_path / "out", config=config, network=SMALL)
    assert trained.lifted.regions == 1


def test_data_without_grasps_to_train_on_is_refused(tmp_path):
    with pytest.raises(LearningError, match="have no grasps"):
        examples_of([ball_shard(0, grasps=0)], PANDA, frozenset(), max_points=100, seed=0)
    none_lifted = written(tmp_path / "none", [with_labels(hand_shard(seed), False) for seed in range(2)])
    with pytest.raises(LearningError, match="has no grasps that lifted"):
        train_flow(none_lifted, tmp_path / "out", config=QUICK, network=SMALL_FLOW)
    mixed = written(tmp_path / "mixed", [ball_shard(0), hand_shard(1)])
    with pytest.raises(LearningError, match="has grasps of allegro, panda"):
        train_evaluator(mixed, tmp_path / "out", config=QUICK, network=SMALL)


def test_a_trained_network_is_not_replaced(tmp_path, learned):
    with pytest.raises(LearningError, match="already exists"):
        train_evaluator(learned[1].parent / "data", learned[1], config=QUICK, network=SMALL)


def test_large_clouds_are_thinned_and_small_ones_repeated():
    large, small = ball_shard(0), ball_shard(1)
    small = replace(small, cloud=small.cloud.only(slice(3)))
    clouds = examples_of([large, small], PANDA, frozenset(), max_points=50, seed=0).clouds.numpy()
    assert clouds.shape == (2, 50, 9)
    assert len(np.unique(clouds[0], axis=0)) == 50
    assert len(np.unique(clouds[1], axis=0)) == 3


def test_by_part_counts_for_grasps_that_lifted_only():
    shard = with_labels(ball_shard(0), True)
    nothing = np.zeros(len(shard.grasps), dtype=bool)
    shard = replace(shard, grasps=replace(shard.grasps, lifted=nothing))
    assert not examples_of([shard], PANDA, frozenset(), max_points=50, seed=0).by_part.any()


# ── losses ─────────────────────────────────────────────────────────────────────────────────────
class Perfect(GraspFlow):
    """Knows where paths end: at the only point of the cloud, the first axis along its normal."""

    def encode(self, points):
        return points[:, 0, :6]

    def forward(self, grasps, time, code):
        # x = (1 - t) noise + t end; the second axis is up, the joints are in the middle.
        up = torch.tensor([0.0, 0.0, 1.0]).expand(len(code), -1)
        end = torch.cat([code, up, torch.zeros((len(code), 16))], dim=1)
        return (end - grasps) / (1 - time[:, None])


def one_point_shard(seed: int) -> Shard:
    shape, rng = embodiment_of(load_end_effector("allegro")), np.random.default_rng(seed)
    angle, position = rng.uniform(0, 2 * np.pi), rng.uniform(-0.1, 0.1, (1, 3))
    along, up = np.array([np.cos(angle), np.sin(angle), 0.0]), np.array([0.0, 0.0, 1.0])
    T = np.eye(4)[None].copy()
    T[0, :3, :3], T[0, :3, 3] = np.column_stack([along, up, np.cross(along, up)]), position
    yes, joints = np.ones(1, dtype=bool), np.add(shape.low, shape.high)[None] / 2
    labelled = LabelledGrasps(T, joints, joints, np.ones(1), yes, yes, yes, yes)
    return Shard(
        Source("allegro", "mug", seed, ""), LocalCloud(position, along[None], yes, yes, np.ones(1)), labelled
    )


@pytest.mark.parametrize("augment", [False, True])
def test_the_loss_of_the_true_velocity_is_zero_at_every_turn(augment):
    shards = [one_point_shard(seed) for seed in range(12)]
    examples = examples_of(shards, ALLEGRO, frozenset(), max_points=4, seed=0)
    flow = Perfect(embodiment_of(load_end_effector("allegro")), SMALL_FLOW)
    generator = torch.Generator().manual_seed(0)
    assert FlowLoss(examples, 0.0)(flow, torch.arange(12), generator, augment=augment) < 1e-5
    flow.encode = lambda points: points[:, 0, [0, 1, 2, 4, 3, 5]]
    assert FlowLoss(examples, 0.0)(flow, torch.arange(12), generator, augment=augment) > 1e-2


def test_a_grasp_is_seen_from_the_objects_point_nearest_to_the_middle_of_the_hand():
    shards = [ball_shard(seed, grasps=3) for seed in range(2)]
    examples = examples_of(shards, PANDA, frozenset(), max_points=60, seed=0)
    shape = embodiment_of(ALLEGRO)
    clouds = examples.clouds[examples.region]
    clouds[:, ::2, 6] = 0.0
    found = nearest_own(clouds, examples.poses, shape)
    for place, cloud, T in zip(found, clouds, examples.poses, strict=True):
        own = cloud[cloud[:, 6] > 0, :3]
        middle = T[:3, :3] @ torch.tensor(shape.center) + T[:3, 3]
        distances = [float((point - middle).norm()) for point in own]
        torch.testing.assert_close(place, own[int(np.argmin(distances))])


def test_the_evaluators_loss_does_not_change_when_all_is_moved_and_turned_about_the_vertical():
    shard = ball_shard(0)
    T = transform(Rotation.from_euler("z", 2.1).as_matrix(), (0.2, 0.1, -0.3))
    R, t = T[:3, :3], T[:3, 3]
    cloud = replace(shard.cloud, points=shard.cloud.points @ R.T + t, normals=shard.cloud.normals @ R.T)
    grasps = replace(shard.grasps, T_cloud_gripper=T @ shard.grasps.T_cloud_gripper)
    moved = replace(shard, cloud=cloud, grasps=grasps)
    torch.manual_seed(0)
    network = GraspEvaluator(embodiment_of(PANDA), SMALL)
    losses = [
        EvaluatorLoss(examples_of([one], PANDA, frozenset(), max_points=64, seed=0), 0.0)(
            network, torch.arange(40), torch.Generator().manual_seed(0), augment=False
        )
        for one in (shard, moved)
    ]
    torch.testing.assert_close(*losses, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("name", "orders"), [("panda", 2), ("allegro", 1)])
def test_symmetric_grippers_are_seen_from_both_sides(name, orders):
    joints = 1 if name == "panda" else 16
    shard = ball_shard(0, grasps=1, effector=name, joints=joints)
    shard = replace(shard, cloud=shard.cloud.only(slice(1)))
    examples = examples_of([shard], load_end_effector(name), frozenset(), max_points=4, seed=0)
    seen = []

    class Recorder(GraspEvaluator):
        def forward(self, points, context):
            seen.append(points[0, 0, :3])
            return super().forward(points, context)

    network, generator = Recorder(embodiment_of(load_end_effector(name)), SMALL), torch.Generator()
    for _ in range(20):
        EvaluatorLoss(examples, 0.0)(network, torch.arange(1), generator, augment=True)
    places = torch.stack(seen)
    assert len(places.round(decimals=5).unique(dim=0)) == orders
    torch.testing.assert_close(places.abs(), places[:1].abs().expand(20, -1))
    torch.testing.assert_close(places[:, 2], places[:1, 2].expand(20))


# ── ranking ────────────────────────────────────────────────────────────────────────────────────
def plain_area(scores: np.ndarray, labels: np.ndarray) -> float:
    pairs = [
        1.0 if above > below else 0.5 if above == below else 0.0
        for above in scores[labels]
        for below in scores[~labels]
    ]
    return float(np.mean(pairs))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_the_area_is_the_part_of_pairs_in_order(values):
    scores, labels = np.array([float(v) for v, _ in values]), np.array([label for _, label in values])
    found = roc_area(scores, labels)
    if labels.all() or not labels.any():
        assert found is None
    else:
        assert found == pytest.approx(plain_area(scores, labels))


def test_the_first_grasp_of_each_region_counts():
    yes, no = True, False
    regions = [
        Ranked(np.array([0.9, 0.1]), np.array([0.1, 0.9]), np.array([yes, no])),
        Ranked(np.array([0.9, 0.1, 0.2]), np.array([0.9, 0.1, 0.2]), np.array([no, yes, no])),
        Ranked(np.array([0.5, 0.5]), np.array([0.5, 0.4]), np.array([yes, no])),
        Ranked(np.array([0.5]), np.array([0.5]), np.array([no])),
        Ranked(np.zeros(0), np.zeros(0), np.zeros(0, dtype=bool)),
    ]
    found = rank(regions)
    assert (found.regions, found.grasps) == (4, 8)
    assert found.top_one == pytest.approx((1 + 0 + 0.5 + 0) / 4)
    assert found.planner_top_one == pytest.approx((0 + 0 + 1 + 0) / 4)
    assert found.random == pytest.approx((1 / 2 + 1 / 3 + 1 / 2 + 0) / 4)
    assert found.best_possible == pytest.approx(3 / 4)
    assert rank(regions[-1:]) is None
    assert rank([]) is None


# ── command ────────────────────────────────────────────────────────────────────────────────────
def test_the_command_trains_both(tmp_path, capsys):
    data = written(tmp_path / "data", [hand_shard(seed, grasps=6) for seed in range(2)])
    words = ["train", str(data), "--output", str(tmp_path / "out"), "--epochs", "1", "--device", "cpu"]
    cli(["learn-grasps", *words])
    shown = capsys.readouterr().out
    assert "allegro evaluator:" in shown
    assert "allegro flow:" in shown
    assert "first grasp lifted:" in shown
    assert {path.name for path in (tmp_path / "out").glob("*.safetensors")} == {
        "allegro_evaluator.safetensors",
        "allegro_flow.safetensors",
    }
    (tmp_path / "out" / "allegro_flow.safetensors").unlink()
    cli(["learn-grasps", *words])
    shown = capsys.readouterr().out
    assert "evaluator: already trained" in shown
    assert "allegro flow:" in shown
    with pytest.raises(SystemExit):
        cli(["learn-grasps", *words, "--kind", "flow"])
    assert "already exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--epochs", "0"], "--epochs 0"),
        (["--batch", "-1"], "--batch -1"),
        (["--learning-rate", "nan"], "--learning-rate nan"),
        (["--jitter", "-0.1"], "--jitter -0.1"),
        ([], "has no shards"),
    ],
)
def test_wrong_options_are_refused(tmp_path, words, problem):
    with pytest.raises(LearningError, match=problem):
        learn(["train", str(tmp_path), "--output", str(tmp_path / "out"), *words])
    assert not (tmp_path / "out").exists()


def test_what_to_do_is_asked_for():
    for words in ([], ["fit"]):
        with pytest.raises(LearningError, match="as its first argument: generate, train"):
            learn(words)
