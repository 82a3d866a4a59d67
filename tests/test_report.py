from __future__ import annotations

import base64
import html as html_module
import io
import json
import re
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import synthetic
from PIL import Image

from point2act.core.errors import ReportError
from point2act.core.geometry import quaternion_to_matrix
from point2act.core.progress import Span
from point2act.core.types import (
    Grasp,
    OrientedBox,
    PlacePose,
    Plan,
    Query,
    QueryResult,
    Reason,
    Region,
    Step,
    Support,
    Target,
)
from point2act.grasping.antipodal.terms import GraspTerms
from point2act.grasping.grippers import Boxes, Gripper
from point2act.splatting.rendering import RenderedView
from point2act.visualization.headlines import ADVICE, HEADLINES, TERMS
from point2act.visualization.report import (
    ReportInput,
    ReportTrial,
    ReportView,
    add_section,
    trial_section,
    write_report,
)
from point2act.visualization.report.rendering import asset
from point2act.visualization.report.timeline import timeline
from point2act.visualization.report.write import plan_section

NASTY = "the <script>alert('x')</script> & \"red\" block"
GRIPPER = Gripper(
    name="test & gripper",
    max_width=0.08,
    pad_size=(0.02, 0.02),
    finger=Boxes.of(((0.0, 0.005, -0.01), (0.01, 0.005, 0.02))),
    body=Boxes.of(((0.0, 0.0, -0.06), (0.03, 0.09, 0.03))),
    max_force=40.0,
)
VOID = {"meta", "link", "img", "input", "hr", "br"}


class Page(HTMLParser):
    """A page taken apart: it must be balanced."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script") and data.strip():
            self.words.append(data.strip())

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def values(self, name: str) -> list[str]:
        return [value for _, found, value in self.attributes if found == name]


def region(x: float, y: float, *, confidence: float = 0.9, rejected: tuple[str, ...] = ()) -> Region:
    box = OrientedBox(np.array([x, y, 0.05]), np.eye(3), np.array([0.02, 0.01, 0.03]))
    return Region(box.center, confidence, Support(6, 1, 1, rejected), box)


def grasps(n: int) -> tuple[Grasp, ...]:
    pose = np.array([[0.0, 1.0, 0, 0], [1.0, 0, 0, 0], [0, 0, -1.0, 0.08], [0, 0, 0, 1]])
    contacts = np.array([[-0.03, 0.0, 0.08], [0.03, 0.0, 0.08]])
    return tuple(
        Grasp(
            pose,
            0.06,
            0.9 - 0.05 * k,
            0.95,
            0.8,
            contacts,
            0.0123,
            approach_width=0.072,
            free_fully_open=k > 0,
        )
        for k in range(n)
    )


RESULTS = (
    QueryResult(Query("red", NASTY), region(0, 0, rejected=("images/0002.png",)), grasps(11)),
    QueryResult(
        Query("green", "the green block"),
        region(0.12, 0.05),
        alternatives=(region(-0.1, 0.0, confidence=0.27),),
        reason="too_wide",
        detail="it is <90> mm wide & the gripper opens to 80 mm",
    ),
    QueryResult(
        Query("blue", "the blue block", "place"),
        region(-0.1, -0.08),
        detail="a place to place: no grasps wanted",
    ),
    QueryResult(
        Query("unicorn", "the unicorn"), None, reason="no_points", detail="the model saw none in 8 views"
    ),
)


def seen(index: int) -> ReportView:
    view = synthetic.views(8, height=96, width=128)[index]
    points = {"red": np.array([[60.0, 50.0]]), "green": np.zeros((0, 2)), "unicorn": np.zeros((0, 2))}
    heat = np.exp(-((np.arange(128) - 60.0) ** 2) / 200)[None].repeat(96, axis=0)
    assert view.depth is not None
    relevancy = np.repeat(heat[..., None], len(RESULTS), axis=2)
    picture = RenderedView(view.depth, np.ones((96, 128)), view.rgb / 255.0, relevancy)
    return ReportView(view, points, {"red": heat}, picture)


REPORT = ReportInput(
    title="tabletop <1>",
    capture="captures/a & b",
    gripper=GRIPPER,
    views=(seen(0), seen(2), seen(4)),
    results=RESULTS,
    timings={"fit the Gaussians": 61.2, "find grasps": 0.25},
    facts={"Held-out PSNR": "24.3 dB", "Device": "cpu"},
)


def written(folder: Path, report: ReportInput = REPORT) -> str:
    path = folder / "report.html"
    write_report(path, report)
    assert [entry.name for entry in folder.iterdir()] == ["report.html"], "no draft is left behind"
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(tmp_path_factory.mktemp("report"))


def panel(html: str, key: str) -> str:
    found = re.search(f"<!-- {key} -->(.*?)<!-- /{key} -->", html, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_page_is_balanced_and_has_its_sections(html: str):
    page = Page(html)
    assert page.values("id") == ["summary", "answers", "reconstruction", "grasps", "time", "facts"]
    assert [value for value in page.values("href") if value[0] == "#"] == [
        f"#{key}" for key in page.values("id")
    ]


def test_nothing_comes_from_outside(html: str):
    page = Page(html)
    for value in page.values("src") + page.values("href"):
        assert value.startswith(("data:", "#"))
    assert "://" not in html
    assert "url(" not in html
    assert "@import" not in html
    assert not [tag for tag, _, _ in page.attributes if tag in ("script", "iframe", "object")]


def test_every_picture_can_be_read(html: str):
    sources = Page(html).values("src")
    assert len(sources) > 20
    for source in sources:
        kind, data = source.split(",", 1)
        assert kind == "data:image/jpeg;base64"
        Image.open(io.BytesIO(base64.b64decode(data))).load()


def test_words_from_outside_are_escaped(html: str):
    assert "<script" not in html
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &#34;red&#34;" in html
    text = Page(html).text
    for words in (NASTY, "tabletop <1>", "captures/a & b", "test & gripper", RESULTS[1].detail):
        assert words is not None
        assert words in text


def test_every_query_is_in_every_part_about_queries(html: str):
    for key in ("summary", "answers", "grasps"):
        text = Page(panel(html, key)).text
        assert all(result.query.text in text for result in RESULTS)


@pytest.mark.parametrize(
    ("reason", "headline"),
    [("too_wide", "Too wide for this gripper"), ("no_points", "No view has a point for this query")],
)
def test_an_empty_answer_says_why(html: str, reason: str, headline: str):
    """In full once, below the verdict with what helps, and with the grasps by its name."""
    detail = next(result.detail for result in RESULTS if result.reason == reason)
    assert f"{headline} {detail} {reason}" in Page(panel(html, "summary")).text
    assert reason in Page(panel(html, "grasps")).text
    assert Page(panel(html, "summary")).text.count(headline) == 1
    top = Page(html).text.split(" Summary ")[0]
    assert f"{headline} (" in top
    assert ADVICE[reason] in top


@pytest.mark.parametrize(
    ("chosen", "sentence", "complete"),
    [
        ((), "Nothing was asked.", False),
        ((0,), "1 of 1 things can be grasped.", True),
        ((1,), "Nothing that was asked for can be grasped.", False),
        ((2,), "1 of 1 places to put down at or to avoid found.", True),
        (
            (0, 1, 2, 3),
            "1 of 3 things can be grasped. 1 of 1 places to put down at or to avoid found.",
            False,
        ),
    ],
)
def test_the_verdict_comes_first(tmp_path: Path, chosen, sentence: str, complete: bool):
    page = written(tmp_path, replace(REPORT, results=tuple(RESULTS[k] for k in chosen)))
    kind = "verdict" if complete else "verdict none"
    assert f'<p class="{kind}">{sentence}</p>' in page
    assert page.index(sentence) < page.index("<!-- nav -->")


def test_simulated_answers_are_called_simulated(tmp_path: Path):
    warning = "simulated pointing model"
    assert warning not in written(tmp_path, replace(REPORT, models=("Qwen/Qwen3-VL-8B-Instruct",)))
    assert warning in written(tmp_path, replace(REPORT, models=("simulated/typical",)))


@pytest.mark.parametrize(
    ("support", "elsewhere", "sentence"),
    [
        (Support(6, 0, 0), (), "6 of 6 views agree."),
        (Support(1, 0, 2), (), "1 of 1 view agrees. 2 more were not asked or cannot see it."),
        (Support(6, 1, 0), (1,), "6 of 7 views agree; the other names 1 different place."),
        (
            Support(6, 5, 1),
            (2, 1),
            "6 of 11 views agree; the others name 2 different places (at most 2 the same one) or say "
            "“not visible”. 1 more were not asked or cannot see it.",
        ),
        (Support(6, 2, 0), (), "6 of 8 views agree; the others say “not visible” or point at nothing solid."),
    ],
)
def test_agreement_is_a_sentence(tmp_path: Path, support: Support, elsewhere, sentence: str):
    result = replace(RESULTS[0], region=replace(RESULTS[0].region, support=support))
    page = written(tmp_path, replace(REPORT, results=(result,), rejected_places={"red": elsewhere}))
    assert sentence in Page(panel(page, "summary")).text
    assert sentence in Page(panel(page, "answers")).text


def test_poses_to_copy_are_the_grasp_s_in_both_frames(tmp_path: Path):
    turn = np.array([[0.0, -1, 0, 0.5], [1, 0, 0, 0], [0, 0, 1, 0.25], [0, 0, 0, 1]])
    page = written(tmp_path, replace(REPORT, results=RESULTS[:1], T_base_world=turn))
    world, base = re.findall("<pre>(.*?)</pre>", page, re.DOTALL)
    for text, T in ((world, grasps(1)[0].T_world_gripper), (base, turn @ grasps(1)[0].T_world_gripper)):
        matrix, pair, ros = html_module.unescape(text).split("\n")
        np.testing.assert_allclose(json.loads(matrix), T, atol=1e-6)
        position, quaternion = json.loads(pair)
        np.testing.assert_allclose(position, T[:3, 3], atol=1e-6)
        found = quaternion_to_matrix(np.array([quaternion]))[0]
        np.testing.assert_allclose(found, T[:3, :3], atol=1e-5)
        numbers = [float(number) for number in re.findall(r"-?[0-9.]+[0-9]", ros)]
        np.testing.assert_allclose(numbers, [*position, *quaternion[1:], quaternion[0]], atol=1e-6)


def test_every_number_of_a_grasp_has_an_explanation(html: str):
    table = Page(panel(html, "grasps"))
    terms = {field.name for field in fields(GraspTerms)}
    assert terms <= set(TERMS)
    for words in TERMS.values():
        assert words in table.text


def test_the_counts_of_a_reason_are_listed_and_escaped(tmp_path: Path):
    counts = {"closing_fingers": 12, f"avoid: {NASTY}": 3, "table": 0}
    page = written(tmp_path, replace(REPORT, results=(replace(RESULTS[1], counts=counts), RESULTS[0])))
    (listed,) = re.findall("<details><summary>Candidates.*?</details>", page, re.DOTALL)
    assert Page(listed).words[1:] == ["closing fingers", "12", f"avoid: {NASTY}", "3", "table", "0"]


def test_a_grasp_without_a_checked_opening_is_shown_without_one(tmp_path: Path):
    unchecked = tuple(replace(grasp, approach_width=None, free_fully_open=None) for grasp in grasps(1))
    page = written(tmp_path, replace(REPORT, results=(replace(RESULTS[0], grasps=unchecked),)))
    assert "60 mm – – 12 mm free" in Page(panel(page, "grasps")).text


@pytest.mark.parametrize("reason", get_args(Reason))
def test_every_reason_has_words(tmp_path: Path, reason):
    result = QueryResult(Query("a", "a thing"), None, reason=reason, detail="why it is so")
    text = Page(written(tmp_path, replace(REPORT, views=(), results=(result,)))).text
    assert f"{HEADLINES[reason]} why it is so {reason}" in text


def test_views_show_their_answers_and_which_were_rejected(html: str):
    answers = panel(html, "answers")
    (rejected,) = re.findall('<figure class="rejected">.*?</figure>', answers, re.DOTALL)
    assert Page(rejected).words == ["images/0002.png", "rejected"]
    assert answers.count('<figure class="unasked">') == 3, "the model was not asked about blue"
    assert Page(answers).words.count("not visible") == 6, "green and unicorn in three views"


def test_numbers_are_those_of_the_results(html: str):
    summary, table = Page(panel(html, "summary")).text, Page(panel(html, "grasps")).text
    assert "0.000, 0.000, 0.050" in summary
    assert "6 of 7 views agree; the other says" in summary
    assert "Grasps 11 Best score 0.90" in summary
    assert (
        "1, best 0.90 0.95 0.80 60 mm 72 mm not free 12 mm free 2 0.85 0.95 0.80 60 mm 72 mm free 12 mm"
        in table
    )
    assert "3 more in grasps.json" in table
    assert "(-0.100, 0.000, 0.050) with confidence 0.27" in table
    assert "a place to place: no grasps wanted" in table
    assert (
        "3 of 4 queries found 90 % confidence in the place 11 grasps 1 min 01 s in total" in Page(html).text
    )


def a_place(tilt: float = 0.0) -> PlacePose:
    T = np.eye(4)
    T[:3, :3] = [[np.cos(tilt), 0, np.sin(tilt)], [0, 1, -1e-9], [-np.sin(tilt), 0, np.cos(tilt)]]
    return PlacePose(T, 0.042, 0.0013)


def test_a_place_shows_its_disc_and_normal(tmp_path: Path):
    result = replace(RESULTS[2], place=a_place(-0.1))
    html = written(tmp_path, replace(REPORT, results=(result,)))
    sentence = "is free and flat, with a roughness of 1.3 mm; its normal is (-0.10, 0.00, 1.00)"
    assert "a disc with a radius of 42 mm " + sentence in Page(panel(html, "grasps")).text
    assert "Free disc 42 mm Normal -0.10, 0.00, 1.00" in Page(panel(html, "summary")).text
    text = Page(written(tmp_path, replace(REPORT, results=(result,), metric=False))).text
    assert "a radius of 0.042 is free and flat, with a roughness of 0.0013;" in text


def test_what_is_to_be_avoided_is_named_and_drawn(tmp_path: Path):
    held = replace(RESULTS[0], grasps=tuple(replace(g, avoid_clearance=0.031) for g in grasps(2)))
    avoided = replace(RESULTS[2], query=replace(RESULTS[2].query, role="avoid"), region=region(0.03, 0))
    html = written(tmp_path, replace(REPORT, results=(held, avoided)))
    table = Page(panel(html, "grasps")).text
    assert "To be avoided: the gripper keeps its distance from here in all grasps." in table
    assert (
        "Approach clearance Lift clearance To avoided region 1, best 0.90 0.95 0.80 60 mm 72 mm not free "
        "12 mm free 31 mm" in table
    )
    alone = written(tmp_path, replace(REPORT, results=(held,)))
    drawn = [Page(panel(page, "grasps")).values("src")[:3] for page in (html, alone)]
    assert not set(drawn[0]) & set(drawn[1])
    lost = replace(avoided, region=None, reason="no_points", detail="no view has a point")
    unknown = Page(panel(written(tmp_path, replace(REPORT, results=(held, lost))), "grasps"))
    assert "To be avoided" not in unknown.text
    assert unknown.values("src")[:3] == drawn[1]


def test_what_went_on_at_the_same_time_is_drawn_so():
    """Rows by their first start, bars to scale; what overlaps itself is counted, not added up."""
    spans = (
        Span("fit", 2.0, 6.0),
        Span("answers", 0.0, 3.0),
        Span("answers", 1.0, 4.0),
        Span("images", 1.0, 1.0),
        Span("fit", 8.0, 10.0),
    )
    drawn = timeline(spans, {"never": 1.0})
    assert re.findall(r"<span>(.*?)</span>", drawn) == [
        "answers",
        "2 times",
        "images",
        "1 time",
        "fit",
        "6.0 s",
    ]
    bars = [tuple(map(float, bar)) for bar in re.findall(r"<i style=.left: (.*?)%; width: (.*?)%", drawn)]
    assert bars == [(0, 30), (10, 30), (10, 0), (20, 40), (80, 20)]


def test_without_anything_there_is_no_timeline():
    assert timeline((), {}) == ""


def test_a_plan_is_shown_step_by_step_and_escaped(tmp_path):
    target = Target(Query("cup", "the <b>cup</b>"), "cup", None, "It holds & warms.")
    plan = Plan("drink <tea>", (Step("pick up the cup", (target,)),), "model")
    shown = plan_section(plan)
    for words in (
        "drink &lt;tea&gt;",
        "1. pick up the cup",
        "the &lt;b&gt;cup",
        "holds &amp; warms",
        "grasp",
    ):
        assert words in shown
    assert plan_section(None) == ""


def test_times_add_up_and_facts_are_there(html: str):
    assert (
        "fit the Gaussians 1 min 01 s find grasps 250 ms in total 0 s 20 s 40 s 60 s 1 min 01 s"
        in Page(panel(html, "time")).text
    )
    widths = [float(width) for width in re.findall(r"width: ([\d.]+)%", panel(html, "time"))]
    assert widths == pytest.approx([100 * 61.2 / 61.45, 100 * 0.25 / 61.45], abs=0.1)
    assert "Held-out PSNR 24.3 dB" in Page(panel(html, "facts")).text


def test_the_best_grasp_is_drawn(tmp_path: Path):
    bare = replace(REPORT, results=(replace(RESULTS[0], grasps=()),))
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    pictures = [
        Page(panel(written(tmp_path / name, report), "grasps")).values("src")
        for name, report in (("a", bare), ("b", replace(REPORT, results=RESULTS[:1])))
    ]
    assert len(pictures[0]) == len(pictures[1]) == 3
    assert not set(pictures[0]) & set(pictures[1])


def test_lengths_of_an_unknown_scale_are_not_called_metres(tmp_path: Path):
    text = Page(written(tmp_path, replace(REPORT, metric=False))).text
    assert " mm " not in text.replace("<90> mm", "").replace("80 mm", "")
    assert "0.060" in text


def test_a_report_of_nothing_is_still_a_page(tmp_path: Path):
    page = Page(written(tmp_path, ReportInput("empty", "x", GRIPPER, (), ())))
    assert "0 of 0 queries found" in page.text
    assert "No queries." in page.text


def test_queries_stand_side_by_side_where_views_are_few(tmp_path: Path):
    assert f'--views: {len(REPORT.views)}"' in panel(written(tmp_path, REPORT), "answers")


def test_views_that_miss_the_place_are_not_shown(tmp_path: Path):
    far = replace(RESULTS[0], region=region(50.0, 50.0))
    html = written(tmp_path, replace(REPORT, results=(far,)))
    assert Page(panel(html, "grasps")).values("src") == []
    assert len(Page(panel(html, "summary")).values("src")) == 1, "the model's point instead"


# ── sections added later ───────────────────────────────────────────────────────────────────────
def trials(*, success: bool) -> str:
    shots = [np.full((30, 40, 3), shade, dtype=np.uint8) for shade in (0, 90, 180)]
    return trial_section(
        [
            ReportTrial(
                "red <1>", success, "lifted & held", "Held for 2 s.", shots, ("before", "at <it>", "after")
            )
        ]
    )


def test_a_section_is_added_once_and_replaced_after(tmp_path: Path):
    before = written(tmp_path, replace(REPORT, results=RESULTS[2:]))
    path = tmp_path / "report.html"
    add_section(path, "trials", "In <physics>", trials(success=True))
    once = path.read_text(encoding="utf-8")
    assert Page(once).values("id")[-2:] == ["time", "facts"]
    assert Page(once).values("id")[:2] == ["trials", "summary"]
    assert "#trials" in Page(once).values("href")
    assert "In <physics>" in Page(panel(once, "trials")).text
    assert panel(once, "summary") == panel(before, "summary")

    add_section(path, "trials", "In <physics>", trials(success=True))
    assert path.read_text(encoding="utf-8") == once
    add_section(path, "trials", "Again", trials(success=False))
    again = path.read_text(encoding="utf-8")
    assert Page(again).values("id").count("trials") == 1
    assert "0 of 1 trials succeeded" in Page(again).text
    assert "In <physics>" not in Page(again).text


def test_a_section_of_the_report_itself_can_be_replaced(tmp_path: Path):
    written(tmp_path, replace(REPORT, results=()))
    add_section(tmp_path / "report.html", "time", "Time", r"<p>\1 quick</p>")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.values("id") == ["summary", "answers", "reconstruction", "grasps", "time", "facts"]
    assert r"\1 quick" in page.text


def test_trials_show_their_pictures_and_outcomes():
    page = Page(trials(success=True))
    assert "1 of 1 trials succeeded" in page.text
    assert "red <1> lifted & held before at <it> after Held for 2 s." in page.text
    assert len(page.values("src")) == 3
    assert Page(trial_section([])).text == "No grasp was executed."


def test_a_film_is_an_animation_of_all_its_pictures():
    film = [np.full((30, 40, 3), 20 * k, dtype=np.uint8) for k in range(7)]
    (source,) = Page(trial_section([ReportTrial("red", True, "lifted", "", film=film)])).values("src")
    kind, data = source.split(",")
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert kind == "data:image/webp;base64"
    assert (image.n_frames, image.size) == (7, (40, 30))
    for k in range(7):
        image.seek(k)
        assert abs(int(np.asarray(image.convert("RGB"))[15, 20, 0]) - 20 * k) < 8


def test_sections_go_into_reports_only(tmp_path: Path):
    with pytest.raises(ReportError, match="cannot be read"):
        add_section(tmp_path / "none.html", "trials", "Trials", "")
    other = tmp_path / "other.html"
    other.write_text("<html></html>")
    with pytest.raises(ReportError, match="is not a report"):
        add_section(other, "trials", "Trials", "")
    assert other.read_text() == "<html></html>"
    with pytest.raises(ValueError, match="lower-case"):
        add_section(other, "Two words", "Trials", "")


def luminance(color: str) -> float:
    """Relative luminance of WCAG 2.2."""
    channels = np.array([int(color[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_the_paper(scheme: str):
    """A contrast of 4.5, as WCAG 2.2 asks of small text."""
    light, dark = re.findall(r":root \{(.*?)\}", asset("report.css"), re.DOTALL)
    colors = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", light if scheme == "light" else dark))
    pairs = [(ink, paper) for ink in ("ink", "soft", "good", "warn") for paper in ("page", "card")]
    for ink, paper in [*pairs, ("ink", "warn-paper"), ("soft", "warn-paper"), ("warn", "warn-paper")]:
        low, high = sorted(luminance(colors[name]) for name in (ink, paper))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, paper)
