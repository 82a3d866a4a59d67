"""A capture with more views than are used: the selection is reported, saved and queried alone."""

import dataclasses
import json

import pytest
from small_run import QUICK, write_capture

import point2act
from point2act.cli.load_run import open_scene
from point2act.data.run_manifest import read_run
from point2act.pipeline.run import run

SIX = dataclasses.replace(QUICK, max_views=6)


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    """Ten views, of which three are answered."""
    folder = write_capture(tmp_path_factory.mktemp("many"))
    document = json.loads((folder / "points.json").read_text())
    kept = {document["answers"][n]["image"] for n in (1, 2, 3)}
    document["answers"] = [answer for answer in document["answers"] if answer["image"] in kept]
    (folder / "points.json").write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="module")
def output(capture, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    run(capture, folder, config=SIX)
    return folder


def test_the_answered_ones_are_among_the_six(capture, output):
    used = read_run(output).views
    assert used is not None
    assert len(used) == 6
    answered = {answer["image"] for answer in json.loads((capture / "points.json").read_text())["answers"]}
    assert answered <= set(used)
    assert "6 of 10, each of 128x96 pixels" in (output / "report.html").read_text()


def test_new_questions_see_the_same_six(output):
    session = point2act.open_run(output)
    used = read_run(output).views
    assert tuple(view.name for view in session.views) == used
    assert tuple(frame.name for frame in session.frames) == used
    assert len(session.capture.frames) == 10
    opened = open_scene(output)
    assert tuple(frame.name for frame in opened.frames) == used


def test_an_answer_about_a_view_that_is_not_used_is_no_error(capture, output):
    session = point2act.open_run(output)
    document = json.loads((capture / "points.json").read_text())
    unused = next(
        f.name for f in session.capture.frames if f.name not in {frame.name for frame in session.frames}
    )
    document["answers"].append(document["answers"][0] | {"image": unused})
    (output / "more.json").write_text(json.dumps(document))
    assert session.ask(output / "more.json").results


def test_it_is_reported_and_resumed(capture, output, caplog):
    with caplog.at_level("DEBUG", logger="point2act"):
        run(capture, output, config=SIX, resume=True)
    assert "10 views: 6 are used, spread over viewpoints; --max-views 10 uses all" in caplog.text
    assert "going on with it" in caplog.text


def test_all_are_used_if_they_are_few_enough(capture, tmp_path):
    run(capture, tmp_path, config=dataclasses.replace(QUICK, max_views=10))
    assert read_run(tmp_path).views is None
    assert '"views"' not in (tmp_path / "run.json").read_text()
