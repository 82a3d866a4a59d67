"""Texts of the panel as Markdown. Text from outside is escaped: viser would run code in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from point2act.core.types import Answer, Grasp, QueryResult, Reason, Role
from point2act.data.points import PERSON, effective_answers
from point2act.visualization.headlines import ADVICE, HEADLINES, TERMS, agreement, count

_ROLES: dict[Role, str] = {"grasp": "to grasp", "place": "to put something down", "avoid": "to avoid"}

Verdict = Literal["supports", "compatible", "rejected", "overruled", "no consensus"]
"""How the answers in one image relate to the region that was found."""
_VERDICTS: dict[Verdict, str] = {
    "supports": "Supports the region that was found.",
    "compatible": "Does not contradict the region that was found.",
    "rejected": "**Rejected** as an outlier: the other views point elsewhere.",
    "overruled": "Overruled: if a person points, only persons' answers count.",
    "no consensus": "The views do not agree on one place.",
}

_PHASES = ("Approach", "Closing", "Lift")

WHAT_TO_DO = "**Click a camera** for its photograph, **a fork** for that grasp."
NO_MODEL = (
    "No model is configured, so only you can point. To ask in words, start with "
    "`point2act view … --model qwen3_vl_8b --server URL`."
)
HELP = """
- **Another query**: choose it under Find; or describe a new object there.
- **Answer yourself**: open a photograph and click on the object, or press “Click on it in the scene” and then
  click on its surface. “Undo the last answer” goes back.
- **Why this answer**: cameras are green where their answer agrees, orange where it disagrees,
  blue where the object is not visible, grey where no one was asked.
- **Grasps**: each fork is one, yellow the best, purple the worst. Click a fork for the whole gripper
  or hand, its approach (blue arrow) and a gripper's closing axis (green arrows). The slider moves it from
  approach to lift.
- **Another gripper or hand**: choose it under Grasps. For a hand, planning takes a minute or more.
- **Move**: drag to turn, right-drag to shift, wheel to zoom; or “Look from” above.
- **Export**: files, a screenshot and the command that reproduces the grasps.
"""

NO_QUERIES = "No query yet. Describe the object below, then point at it in one or two photographs."
# Characters with a meaning in Markdown, HTML or MDX, with which viser renders: braces, and lines that start
# with import or export, are code.
_SPECIAL = re.compile(r"[\\`*_{}\[\]()<>#+\-.!|~$&:^=@'\"]|\A[ie](?=[mx]port)")


def plain(text: str) -> str:
    """Escape a text so that it is shown unchanged, on one line."""
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", " ".join(text.split()))


def labels(names: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return a menu's label for each (name, text), by name; repeated texts are followed by their names."""
    count = Counter(text for _, text in names)
    found = {name: text for name, text in names if count[text] == 1}
    taken = set(found.values())
    for name, text in names:
        if name in found:
            continue
        # More than once only if another text is the same.
        label = f"{text} ({name})"
        while label in taken:
            label += f" ({name})"
        found[name] = label
        taken.add(label)
    return {name: found[name] for name, _ in names}


def about_scene(gaussians: int, views: int, metric: bool | None) -> str:
    """Describe the scene in one line."""
    unit = "" if metric is None else " · metres" if metric else " · unknown scale"
    return f"{gaussians:,} Gaussians · {views} views{unit}".replace(",", "\u202f")


def about_result(result: QueryResult, rejected_places: Sequence[int] = ()) -> str:
    """Describe the region of a query and its confidence, or why there is none.

    Args:
        result: The result.
        rejected_places: Number of views that name each other place, most first.
    """
    lines = [f"**{plain(result.query.text)}**, {_ROLES[result.query.role]}"]
    if result.region is not None:
        region, support = result.region, result.region.support
        x, y, z = region.action_point + 0.0
        lines += [
            f"Confidence **{region.confidence:.0%}**: {agreement(support, rejected_places)}",
            f"Action point ({x:.3f}, {y:.3f}, {z:.3f})",
        ]
    if result.place is not None:
        lines.append(f"Free and flat within a radius of {result.place.flat_radius:.3f}")
    if result.alternatives:
        chances = ", ".join(f"{other.confidence:.0%}" for other in result.alternatives)
        lines.append(f"Alternatives: {chances}")
    if result.reason is not None:
        lines.append(_why(result.reason, result.detail))
    return "\n\n".join(lines)


def about_photo(image: str, answers: Sequence[Answer], counted: bool, result: QueryResult | None) -> str:
    """Describe the answers to a query in one image, and whether they support the result."""
    lines = [f"**{plain(image)}**"]
    if not answers:
        lines.append("The model was not asked about this query here.")
    for answer in answers:
        source = "You" if answer.model == PERSON else plain(answer.model or "Unknown model")
        points = count(len(answer.points), "point", "points")
        lines.append(f"{source}: {points if answer.visible else 'not visible here'}")
        if answer.raw:
            lines.append(f"Reply: {plain(answer.raw[:300])}")
    found = verdict(image, answers, counted, result)
    lines += [] if found is None else [_VERDICTS[found]]
    return "\n\n".join(lines)


def verdict(
    image: str, answers: Sequence[Answer], counted: bool, result: QueryResult | None
) -> Verdict | None:
    """Return how the answers in an image relate to the result; None without answers or result."""
    if not answers or result is None:
        return None
    if not counted:
        return "overruled"
    if result.region is None:
        return "no consensus"
    if image in result.region.support.rejected_images:
        return "rejected"
    return "supports" if any(len(answer.points) for answer in effective_answers(answers)) else "compatible"


def about_grasp(grasp: Grasp, number: int, count: int) -> str:
    """Describe a grasp in numbers."""
    lines = [
        f"**Grasp {number} of {count}** · score {grasp.score:.2f}",
        f"quality {grasp.quality:.2f} · relevancy {grasp.relevancy:.2f}",
        _width(grasp),
        _clearances(grasp),
    ]
    if not all(grasp.contacts_seen):
        lines.append("One contact was not seen by any camera and is inferred.")
    if grasp.approach_seen is not None:
        lines.append(f"A camera looked through {100 * grasp.approach_seen:.0f} % of the space on its way in.")
    if grasp.joints is not None:
        lines.append("The lift is not checked, nor whether an arm reaches it: hands are planned without one.")
    if grasp.joint_path is not None:
        lines.append(f"The arm reaches it by a path of {len(grasp.joint_path.approach)} steps.")
    if grasp.terms:
        lines.append("What the quality is made of, 1 being best:")
        lines.append("\n".join(_about_term(name, value) for name, value in grasp.terms.items()))
    return "\n\n".join(lines)


def _about_term(name: str, value: float) -> str:
    return f"- **{plain(name.replace('_', ' '))} {value:.2f}** {TERMS.get(name, '')}"


def about_phase(share: float | None) -> str:
    """Name the phase of a grasp's motion at a share of it, from 0 to 1; None for the grasp as planned."""
    if share is None:
        return "Move the slider: approach, closing, lift."
    return f"**{_PHASES[min(int(3 * share), 2)]}**"


def in_menu(grasps: Sequence[Grasp]) -> tuple[str, ...]:
    """Return a label for each grasp, best first."""
    return tuple(f"{n}: score {grasp.score:.2f}" for n, grasp in enumerate(grasps, start=1))


def about_grasps(result: QueryResult, chosen: int, planned: bool) -> str:
    """Describe the chosen grasp, or why there is none."""
    if result.grasps:
        return about_grasp(result.grasps[chosen], chosen + 1, len(result.grasps))
    if not planned and result.region is not None:
        return "Planning …"
    if result.reason is None:
        return f"No grasps: this is {_ROLES[result.query.role]}."
    return _why(result.reason, result.detail)


def _why(reason: Reason, detail: str | None) -> str:
    """Describe why there is no result, and what helps."""
    return f"**{HEADLINES[reason]}.** {plain(detail or '')}\n\n**What helps:** {ADVICE[reason]}"


def _width(grasp: Grasp) -> str:
    width = f"{1e3 * grasp.width:.0f} mm"
    if grasp.joints is None:
        return f"width {width}" + _opening(grasp)
    touching = count(len(grasp.joints.links), "contact", "contacts")
    return f"{touching} · thumb and opposite finger {width} apart"


def _clearances(grasp: Grasp) -> str:
    text = f"Clearance of the approach {_millimetres(grasp.approach_clearance)}"
    if grasp.joints is None:
        text += f", of the lift {_millimetres(grasp.lift_clearance)}"
    if grasp.avoid_clearance is not None:
        text += f", to avoid {_millimetres(grasp.avoid_clearance)}"
    return text


def _opening(grasp: Grasp) -> str:
    if grasp.approach_width is None:
        return ""
    free = {None: "", True: ", also free fully open", False: ", not free fully open"}[grasp.free_fully_open]
    return f" · open to {1e3 * grasp.approach_width:.0f} mm on the approach{free}"


def _millimetres(clearance: float | None) -> str:
    return "none" if clearance is None else f"{1e3 * clearance:.0f} mm"
