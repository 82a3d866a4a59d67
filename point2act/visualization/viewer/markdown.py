"""What the panel says, as Markdown. Text from outside is escaped here: viser runs what looks like code."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from point2act.core.types import Answer, Grasp, QueryResult, Reason, Role
from point2act.data.points import PERSON, effective_answers

_ROLES: dict[Role, str] = {
    "grasp": "to be grasped",
    "place": "to put something down",
    "avoid": "to be avoided",
}

Verdict = Literal["backs it", "not against it", "outvoted", "set aside", "no place agreed on"]
"""What became of the answers in one image."""
_VERDICTS: dict[Verdict, str] = {
    "backs it": "Backs the place that was found.",
    "not against it": "Is not against the place that was found.",
    "outvoted": "**Outvoted**: the other views point elsewhere.",
    "set aside": "Set aside: a person pointed, and a person's word stands alone.",
    "no place agreed on": "The views agree on no place.",
}

HEADLINES: dict[Reason, str] = {
    "no_points": "Nobody has pointed at it yet",
    "no_agreement": "The views do not agree on one place",
    "no_geometry": "There is no geometry to plan on",
    "no_contact_pair": "No two opposing surfaces to close on",
    "too_wide": "Too wide for this gripper",
    "all_collide": "The hand would hit something in every grasp",
    "unreachable": "The arm reaches none of the grasps",
}
NOTHING_ASKED = (
    "Nothing has been asked for yet. Say below what you are looking for, and point at it in a photograph or "
    "two."
)
# What means something to Markdown, to HTML or, in braces, to MDX, which viser renders with.
# A line that begins with import or export would be a program's.
_SPECIAL = re.compile(r"[\\`*_{}\[\]()<>#+\-.!|~$&:^=@'\"]|\A[ie](?=[mx]port)")


def plain(text: str) -> str:
    """Any text so that it is shown as it is, on one line."""
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", " ".join(text.split()))


def labels(names: Sequence[tuple[str, str]]) -> dict[str, str]:
    """What a menu shows for (name, text), by name; texts that occur twice get their names, so all differ."""
    count = Counter(text for _, text in names)
    found = {name: text for name, text in names if count[text] == 1}
    taken = set(found.values())
    for name, text in names:
        if name in found:
            continue
        # Once is enough, unless another's text looks like that.
        label = f"{text} ({name})"
        while label in taken:
            label += f" ({name})"
        found[name] = label
        taken.add(label)
    return {name: found[name] for name, _ in names}


def about_scene(gaussians: int, views: int, metric: bool | None) -> str:
    """One line about what is shown."""
    unit = "" if metric is None else " · metres" if metric else " · unknown scale"
    return f"{gaussians:,} Gaussians · {views} views{unit}".replace(",", "\u202f")


def about_result(result: QueryResult) -> str:
    """What was found for a query, how sure that is, or why there is nothing."""
    lines = [f"**{plain(result.query.text)}**, {_ROLES[result.query.role]}"]
    if result.region is not None:
        region, support = result.region, result.region.support
        x, y, z = region.action_point + 0.0
        views = f"{support.agree} views for, {support.disagree} against, {support.unseen} silent"
        lines += [
            f"Confidence **{region.confidence:.0%}** · {views}",
            f"Action point ({x:.3f}, {y:.3f}, {z:.3f})",
        ]
    if result.place is not None:
        lines.append(f"Free and flat within {result.place.flat_radius:.3f} of it")
    if result.alternatives:
        chances = ", ".join(f"{other.confidence:.0%}" for other in result.alternatives)
        lines.append(f"Other places it may mean: {chances}")
    if result.reason is not None:
        lines.append(f"**{HEADLINES[result.reason]}.** {plain(result.detail or '')}")
    return "\n\n".join(lines)


def about_photo(image: str, said: Sequence[Answer], counted: bool, result: QueryResult | None) -> str:
    """What was said about a query in one image, and what the others made of it."""
    lines = [f"**{plain(image)}**"]
    if not said:
        lines.append("Nobody was asked here about this query.")
    for answer in said:
        who = "You" if answer.model == PERSON else plain(answer.model or "Somebody")
        where = f"{len(answer.points)} point{'s' * (len(answer.points) != 1)}"
        lines.append(f"{who}: {where if answer.visible else 'not visible here'}")
        if answer.raw:
            lines.append(f"In its own words: {plain(answer.raw[:300])}")
    found = verdict(image, said, counted, result)
    lines += [] if found is None else [_VERDICTS[found]]
    return "\n\n".join(lines)


def verdict(image: str, said: Sequence[Answer], counted: bool, result: QueryResult | None) -> Verdict | None:
    """What became of what was ``said`` in an image; None where nobody was asked, or nothing is known yet."""
    if not said or result is None:
        return None
    if not counted:
        return "set aside"
    if result.region is None:
        return "no place agreed on"
    if image in result.region.support.rejected_images:
        return "outvoted"
    return "backs it" if any(len(answer.points) for answer in effective_answers(said)) else "not against it"


def about_grasp(grasp: Grasp, number: int, count: int) -> str:
    """A grasp's numbers."""
    lines = [
        f"**Grasp {number} of {count}** · score {grasp.score:.2f}",
        f"quality {grasp.quality:.2f} · relevancy {grasp.relevancy:.2f} · opening {1e3 * grasp.width:.0f} mm",
        f"Nearest thing on the way in {_millimetres(grasp.approach_clearance)}, "
        f"on the way up {_millimetres(grasp.lift_clearance)}"
        + ("" if grasp.avoid_clearance is None else f", to avoid {_millimetres(grasp.avoid_clearance)}"),
    ]
    if not all(grasp.contacts_seen):
        lines.append("One side was seen by no camera and is inferred.")
    if grasp.joint_path is not None:
        lines.append(f"The arm goes there by a path of {len(grasp.joint_path.approach)} steps.")
    if grasp.terms:
        rows = "\n".join(f"| {plain(name.replace('_', ' '))} | {v:.2f} |" for name, v in grasp.terms.items())
        lines.append(f"| quality is made of | |\n|---|---|\n{rows}")
    return "\n\n".join(lines)


def in_menu(grasps: Sequence[Grasp]) -> tuple[str, ...]:
    """A line for each grasp, best first."""
    return tuple(f"{n}: score {grasp.score:.2f}" for n, grasp in enumerate(grasps, start=1))


def about_photos(told: Sequence[tuple[str, Verdict]]) -> str:
    """A line for each image whose answer has a verdict."""
    rows = "\n".join(f"| {plain(name)} | {text} |" for name, text in told)
    return f"| image | its answer |\n|---|---|\n{rows}" if rows else ""


def about_grasps(result: QueryResult, chosen: int, planned: bool) -> str:
    """The chosen grasp's numbers, or why there is none."""
    if result.grasps:
        return about_grasp(result.grasps[chosen], chosen + 1, len(result.grasps))
    if not planned and result.region is not None:
        return "Planning …"
    if result.reason is None:
        return f"Nothing is grasped: this is {_ROLES[result.query.role]}."
    return f"**{HEADLINES[result.reason]}.** {plain(result.detail or '')}"


def _millimetres(clearance: float | None) -> str:
    return "none" if clearance is None else f"{1e3 * clearance:.0f} mm"
