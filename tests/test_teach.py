"""``point2act teach``: from finished runs to examples, and from examples to the files of trainers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small_run import SmallRun

from point2act.cli.main import main
from point2act.cli.teach import Collect
from point2act.core.errors import TeachingError
from point2act.core.geometry import project
from point2act.core.types import Camera, Plan, Step, Target
from point2act.data.points import read_points, write_points
from point2act.teaching.collect import CollectConfig
from point2act.teaching.collection import collect_runs
from point2act.teaching.data_set import read_examples, write_examples
from point2act.teaching.documents import Example
from point2act.teaching.export import FORMATS, Pupil, as_chat
from point2act.teaching.plans import plan_reply
from point2act.teaching.split import held_out_scenes, merge_scenes, without_duplicates
from point2act.vlm.clients.models import load_model
from point2act.vlm.parsers import WRITTEN_DIALECTS, parse_reply


def copy_run(made: SmallRun, folder: Path, *, darker: bool = True) -> Path:
    """Return the output folder of a copy of a run whose capture has other images, or the same."""
    shutil.copytree(made.capture, folder / "kitchen")
    shutil.copytree(made.output, folder / "out")
    document = json.loads((folder / "out/run.json").read_text())
    document["capture"] = str(folder / "kitchen")
    (folder / "out/run.json").write_text(json.dumps(document))
    for path in (folder / "kitchen/images").iterdir() if darker else ():
        Image.fromarray((np.array(Image.open(path)) * 0.8).astype(np.uint8)).save(path)
    return folder / "out"


def below_the_table(result: dict[str, Any]) -> dict[str, Any]:
    """A result for the unicorn where no view can see it."""
    query = {"name": "unicorn", "text": "the unicorn", "role": "grasp"}
    place = {"action_point": [0.0, 0.0, -0.1], "region": result["region"] | {"center": [0.0, 0.0, -0.2]}}
    return result | place | {"query": query}


@pytest.fixture(scope="module")
def runs(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs of two scenes; one has a plan, a model that was wrong in one image, and a hidden target."""
    other = copy_run(small_run, tmp_path_factory.mktemp("other"))
    document = json.loads((other / "grasps.json").read_text())
    document["results"][1] = below_the_table(document["results"][0])
    (other / "grasps.json").write_text(json.dumps(document))
    points = read_points(small_run.capture / "points.json")
    red = next(query for query in points.queries if query.name == "red")
    step = Step("lift the red box", (Target(red, "red box", None, "It is to be lifted."),))
    plan = Plan("Clear the table.", (step, replace(step, action="put it away")))
    answers = tuple(
        replace(answer, points=np.array([[3.0, 90.0]])) if number == 3 else answer
        for number, answer in enumerate(points.answers)
    )
    write_points(other / "points.json", replace(points, plan=plan, answers=answers))
    return small_run.output, other


@pytest.fixture(scope="module")
def data(runs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "data"
    words = ["--min-confidence", "0", "--held-out", "0.5"]
    main(["teach", "collect", *map(str, runs), "--output", str(folder), *words])
    return folder


def of_kind(examples: tuple[Example, ...], kind: str) -> list[Example]:
    return [example for example in examples if example.kind == kind]


# ── collecting ────────────────────────────────────────────────────────────────────────────────
def test_points_are_the_projection_of_the_key_point(data: Path, runs: tuple[Path, Path]):
    examples = read_examples(data)
    points = of_kind(examples, "point")
    assert len(points) >= 16
    for example in points:
        assert example.question == "the red box"
        camera = Camera(**dict(example.camera), height=example.height, width=example.width)
        pixel = project(camera, np.array(example.T_world_cam), np.array(example.key_points))[0]
        np.testing.assert_allclose(example.points, pixel, atol=0.01)
        left, top, right, bottom = example.region
        assert 0 <= left < right <= example.width
        assert 0 <= top < bottom <= example.height
        with Image.open(data / example.image) as image:
            assert image.size == (example.width, example.height)
    truth = json.loads((runs[0] / "grasps.json").read_text())["results"][0]
    assert points[0].key_points == [tuple(truth["action_point"])]
    assert points[0].weight == truth["confidence"]


def test_where_all_views_know_it_to_be_hidden_it_is_not_visible(data: Path):
    hidden = of_kind(read_examples(data), "not_visible")
    assert len(hidden) == 10
    for example in hidden:
        assert (example.question, example.points, example.region) == ("the unicorn", [], None)
        assert (example.own_points, example.hard) == ([], False)


def test_the_defaults_of_the_command_are_those_of_the_function():
    arguments = Collect((), Path())
    assert CollectConfig(arguments.min_confidence, arguments.max_side) == CollectConfig()


def test_the_view_in_which_the_model_was_wrong_is_hard(data: Path):
    hard = [example for example in read_examples(data) if example.hard]
    assert [(example.scene, example.own_points) for example in hard] == [("kitchen", [(3.0, 90.0)])]


def test_one_scene_of_two_is_held_out_and_images_are_named_by_content(data: Path):
    examples = read_examples(data)
    split = {example.scene: example.split for example in examples}
    assert sorted(split.values()) == ["held_out", "train"]
    by_split = [{e.image for e in examples if e.split == name} for name in ("train", "held_out")]
    assert not by_split[0] & by_split[1]
    assert {path.name for path in (data / "images").iterdir()} == {Path(e.image).name for e in examples}


def test_the_plan_and_its_steps_are_asked(data: Path):
    examples = read_examples(data)
    (plan,) = of_kind(examples, "plan")
    assert json.loads(plan.reply)["steps"][0]["targets"][0]["object"] == "red box"
    steps = of_kind(examples, "step")
    assert [(step.done, step.reply) for step in steps] == [
        ([], "lift the red box"),
        (["lift the red box"], "put it away"),
    ]


def test_below_the_confidence_nothing_is_taken(small_run: SmallRun, tmp_path: Path, capsys):
    found = json.loads((small_run.output / "grasps.json").read_text())["results"]
    assert [result["action_point"] is None for result in found] == [False, True]
    sure = found[0]["confidence"]
    arguments = ["teach", "collect", str(small_run.output), "--output", str(tmp_path / "data")]
    main([*arguments, "--min-confidence", f"{sure - 1e-3:.4f}"])
    assert "not taken: 1 queries" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*arguments[:-1], str(tmp_path / "none"), "--min-confidence", f"{min(sure + 1e-3, 1):.4f}"])
    assert "lower --min-confidence" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_the_same_scene_again_is_a_duplicate(small_run: SmallRun, tmp_path: Path):
    copy = copy_run(small_run, tmp_path, darker=False)
    config = CollectConfig(min_confidence=0.0)
    twice = collect_runs([small_run.output, copy], tmp_path / "twice", config=config)
    once = collect_runs([small_run.output], tmp_path / "once", config=config)
    assert twice.scenes == once.scenes == ("capture",)
    assert twice.duplicates == len(once.examples)
    assert (tmp_path / "twice/examples.jsonl").read_bytes() == (tmp_path / "once/examples.jsonl").read_bytes()


# ── scenes and duplicates ─────────────────────────────────────────────────────────────────────
def example(**changed: Any) -> Example:
    content = {
        "id": "a-1",
        "scene": "desk",
        "kind": "point",
        "image": f"images/{'0' * 16}.jpg",
        "width": 640,
        "height": 480,
        "question": "the mug",
        "points": [(320.0, 120.0)],
        "weight": 0.9,
        "camera": {"fx": 500.0, "fy": 500.0, "cx": 320.0, "cy": 240.0},
        "T_world_cam": np.eye(4).tolist(),
    }
    return Example.model_validate(content | changed)


@given(st.lists(st.frozensets(st.integers(0, 8), min_size=1), min_size=1, max_size=8))
def test_runs_that_share_anything_share_a_scene(contents):
    found = merge_scenes(["desk"] * len(contents), [frozenset(map(str, each)) for each in contents])
    groups: list[tuple[set[int], set[int]]] = []
    for number, each in enumerate(contents):
        near = [group for group in groups if group[0] & each]
        merged = (set(each).union(*(g[0] for g in near)), {number}.union(*(g[1] for g in near)))
        groups = [group for group in groups if group not in near] + [merged]
    for _, members in groups:
        assert len({found[number] for number in members}) == 1
    assert len(set(found)) == len(groups)


@given(st.integers(1, 12), st.floats(0, 1), st.integers(0, 5), st.randoms())
def test_held_out_scenes_do_not_depend_on_the_order(count, share, seed, random):
    examples = [example(scene=f"scene {k}", image=f"images/{k:016x}.jpg", id=str(k)) for k in range(count)]
    chosen = held_out_scenes(examples, share=share, seed=seed)
    random.shuffle(examples)
    assert held_out_scenes(examples, share=share, seed=seed) == chosen
    assert len(chosen) < count or count == 0
    assert (len(chosen) > 0) == (share > 0 and count > 1)
    assert abs(len(chosen) - share * count) <= 1


def test_of_two_answers_the_more_certain_one_stays():
    one, other = example(weight=0.8), example(weight=0.95, kind="not_visible", points=[])
    assert without_duplicates([one, other]) == [other]
    assert without_duplicates([other, one, example(id="b")]) == [other, example(id="b")]


# ── exporting ─────────────────────────────────────────────────────────────────────────────────
def parts(line: dict[str, Any]) -> tuple[str, str, str]:
    """Image, question and answer of a line in any format."""
    if "conversations" in line:
        asked, answered = line["conversations"]
        assert (asked["from"], answered["from"]) == ("human", "gpt")
        return line["image"], asked["value"].removeprefix("<image>\n"), answered["value"]
    (image,), (asked, answered) = line["images"], line["messages"]
    assert (asked["role"], answered["role"]) == ("user", "assistant")
    if isinstance(asked["content"], str):
        return image, asked["content"].removeprefix("<image>"), answered["content"]
    assert [part["type"] for part in asked["content"]] == ["image", "text"]
    return image, asked["content"][1]["text"], answered["content"][0]["text"]


def as_swift_fills(text: str, line: dict[str, Any], scale: tuple[float, float]) -> str:
    """What ms-swift makes of the placeholders for boxes."""
    for x, y in line.get("objects", {}).get("bbox", ()):
        text = text.replace("<bbox>", str([round(x * scale[0]), round(y * scale[1])]), 1)
    assert "<bbox>" not in text
    return text


@pytest.mark.parametrize("dialect", WRITTEN_DIALECTS)
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("points", [[(320.0, 120.0)], [(1.0, 2.0), (600.5, 479.0)], []])
def test_answers_are_read_back_in_the_dialect(tmp_path: Path, form, dialect, points):
    one = example(points=points, kind="point" if points else "not_visible")
    line = as_chat(one, tmp_path, form=form, pupil=Pupil(dialect))
    image, question, answer = parts(line)
    assert image == str(tmp_path / one.image)
    assert "the mug" in question
    if form == "ms-swift":
        across, down = (1000, 1000) if dialect == "qwen3_vl" else (644, 476)
        answer = as_swift_fills(answer, line, (across / 640, down / 480))
    read = parse_reply(answer, dialect, image_size=(480, 640))
    np.testing.assert_allclose(np.reshape(read, (-1, 2)), np.reshape(points, (-1, 2)), atol=0.75)


def test_ms_swift_gets_pixels_and_two_numbers_a_point(tmp_path: Path):
    line = as_chat(example(), tmp_path, form="ms-swift", pupil=Pupil("qwen2_5_vl"))
    assert line["objects"] == {"ref": [], "bbox": [[320.0, 120.0]], "bbox_type": "real"}
    nothing = example(points=[], kind="not_visible")
    assert "objects" not in as_chat(nothing, tmp_path, form="ms-swift", pupil=Pupil("qwen2_5_vl"))


def test_the_prompt_is_that_of_the_model(data: Path, tmp_path: Path):
    main(["teach", "export", str(data), "--format", "trl", "--model", "molmo2_4b", "--output", str(tmp_path)])
    prompt = load_model("molmo2_4b").prompt.format(query="the red box").strip()
    lines = [
        json.loads(line)
        for name in ("train", "held_out")
        for line in (tmp_path / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert len(lines) == len(read_examples(data))
    assert sum(parts(line)[1] == prompt for line in lines) >= 16
    assert all(Path(parts(line)[0]).is_file() for line in lines)


def test_a_plan_without_reasons_is_not_taught(runs: tuple[Path, Path]):
    plan = read_points(runs[1] / "points.json").plan
    assert plan_reply(plan) is not None
    step = plan.steps[0]
    silent = replace(step, targets=tuple(replace(target, reason="") for target in step.targets))
    assert plan_reply(replace(plan, steps=(silent,))) is None


# ── what cannot be ────────────────────────────────────────────────────────────────────────────
def refused(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["teach", *map(str, arguments)])
    assert stop.value.code == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("point2act: ")
    return error


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "collect, export, train"),
        (["learn"], "collect, export, train"),
        (["collect", "RUN", "--output", "DATA", "--min-confidence", "1.5"], "--min-confidence 1.5"),
        (["collect", "RUN", "--output", "DATA", "--held-out", "-1"], "--held-out -1"),
        (["collect", "RUN", "--output", "DATA", "--max-side", "0"], "--max-side 0"),
        (["collect", "missing", "--output", "DATA"], "missing"),
        (["collect", "RUN", "--output", "."], "already exists"),
        (["export", "missing", "--format", "trl", "--output", "OUT"], "give --model, or --dialect"),
        (["export", "missing", "--format", "trl", "--dialect", "auto", "--output", "OUT"], "molmo"),
        (["export", "missing", "--format", "trl", "--dialect", "molmo", "--output", "OUT"], "does not exist"),
        (["export", "missing", "--format", "trl", "--model", "parrot", "--output", "OUT"], "parrot"),
    ],
)
def test_wrong_arguments_are_refused_and_nothing_is_written(
    small_run, tmp_path, monkeypatch, capsys, arguments, says
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    words = [str(small_run.output) if word == "RUN" else word for word in arguments]
    assert says in refused(capsys, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_run_without_points_is_refused(small_run: SmallRun, tmp_path: Path, capsys):
    run = copy_run(small_run, tmp_path)
    (tmp_path / "kitchen/points.json").unlink()
    assert "has no points.json" in refused(capsys, "collect", run, "--output", tmp_path / "data")
    assert not (tmp_path / "data").exists()


LINE = example().model_dump()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "has no examples"),
        ("{", "not valid JSON"),
        (json.dumps(LINE)[:-20], "not valid JSON"),
        (json.dumps([LINE]), "an object"),
        (json.dumps(LINE | {"version": 2}), "newer release"),
        (json.dumps(LINE | {"image": "../../etc/passwd"}), "'image'"),
        (json.dumps(LINE | {"image": "images/../../aaaaaaaa.jpg"}), "'image'"),
        (json.dumps(LINE | {"points": [[1, 2, 3]]}), "'points"),
        (json.dumps(LINE | {"points": [[1e9, 2]]}), "outside its image"),
        (json.dumps(LINE | {"points": []}), "with 0 points"),
        (json.dumps(LINE | {"kind": "plan", "points": []}), "have a reply"),
        (json.dumps(LINE | {"weight": 2}), "'weight'"),
        (json.dumps(LINE).replace("0.9", "NaN"), "NaN"),
        (json.dumps(LINE | {"width": 0}), "'width'"),
        (json.dumps({key: value for key, value in LINE.items() if key != "question"}), "'question'"),
        (f"{json.dumps(LINE)}\n{json.dumps(LINE)}", "used twice"),
    ],
)
def test_broken_examples_are_one_sentence(tmp_path: Path, content: str, says: str):
    (tmp_path / "images").mkdir()
    (tmp_path / LINE["image"]).write_bytes(b"")
    (tmp_path / "examples.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(TeachingError) as error:
        read_examples(tmp_path)
    assert says in str(error.value)


def test_a_missing_image_is_named(tmp_path: Path):
    write_examples(tmp_path, [example(question="die Tüte 🛍")])
    with pytest.raises(TeachingError, match=r"0000\.jpg"):
        read_examples(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / LINE["image"]).write_bytes(b"")
    assert read_examples(tmp_path)[0].question == "die Tüte 🛍"


def test_the_command_as_a_person_runs_it(runs: tuple[Path, Path], data: Path, tmp_path: Path):
    words = [
        *map(str, runs),
        "--output",
        str(tmp_path / "data"),
        "--min-confidence",
        "0",
        "--held-out",
        "0.5",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "point2act.cli", "teach", "collect", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "2 scenes, held out: " in done.stdout
    assert "1 hard" in done.stdout
    # The same runs give the same bytes.
    assert (tmp_path / "data/examples.jsonl").read_bytes() == (data / "examples.jsonl").read_bytes()
