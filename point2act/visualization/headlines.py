"""What was found, how far views agree, why there is no grasp: words for the report and the viewer."""

from collections.abc import Sequence

from point2act.core.types import QueryResult, Reason, Support

HEADLINES: dict[Reason, str] = {
    "no_points": "No view has a point for this query",
    "no_agreement": "The views do not agree on one place",
    "no_geometry": "Nothing was reconstructed at this place",
    "no_scale": "The scale of the capture is unknown",
    "no_contact_pair": "No two opposing surfaces to close on",
    "too_wide": "Too wide for this gripper",
    "all_collide": "The gripper would collide in every grasp",
    "unreachable": "The arm reaches none of the grasps",
}

ADVICE: dict[Reason, str] = {
    "no_points": "Ask in other words, add views of it, or ask another model.",
    "no_agreement": "Ask more precisely or add views. The candidates are listed under Grasps.",
    "no_geometry": "Record depth, or add views of this place.",
    "no_scale": "Record depth, place photographs with --scale-from, or pass --metric.",
    "no_contact_pair": "Ask for another part of the object.",
    "too_wide": "Ask for a narrower part, use a wider gripper, or add views of its far side.",
    "all_collide": "Clear the surroundings or ask for another part. If poses or depth are off: "
    "point2act check --refine.",
    "unreachable": "Move the object or the base.",
}
"""What helps, one sentence for each reason."""

TERMS: dict[str, str] = {
    "score": "Quality of the grasp, weighted by the relevancy at its contacts and by preferred approaches; "
    "grasps are sorted by it.",
    "quality": "Estimated probability that the gripper holds the object, from the terms below.",
    "relevancy": "Mean probability that the surface within 1 cm of the contacts is what the words mean.",
    "width": "Distance between the two contacts.",
    "opened to": "Distance between the pads that was checked on the approach: open the gripper to this.",
    "fully open": "Whether the approach is also free of collisions with the gripper fully open.",
    "approach clearance": "Smallest distance between the open gripper and everything on its way in.",
    "lift clearance": "Smallest distance of the closed gripper to everything but the object on its way up.",
    "alignment": "How squarely the pads meet the surface.",
    "patch": "Contact area of the pad that touches less.",
    "overlap": "Length of contact along the finger.",
    "opposed": "Whether the two contacts are opposite each other.",
    "friction": "How much of the available friction is left.",
    "twist": "How much of the pads' resistance to rotation about the closing axis the weight leaves. At "
    "low values the object may swing. It hardly counts in the quality.",
    "lever": "How near the grasp is to the middle of the object.",
    "upright": "How close the approach is to straight down or to the cameras' direction.",
    "seen": "Fraction of the contact area that a camera saw.",
    "sighted": "Fraction of the space around the fingertips that a camera saw.",
    "clearance": "Distance of the open gripper to everything on its approach; 1 if there is plenty.",
    "robustness": "Fraction of slightly displaced grasps that would hold too.",
}
"""What the numbers of a grasp mean, one or two sentences each; names as in ``grasps.json``."""


def verdict(results: Sequence[QueryResult]) -> tuple[str, bool]:
    """Summarise results in one sentence.

    Args:
        results: One result per query.

    Returns:
        The sentence, and whether every query has what its role needs.
    """
    if not results:
        return "Nothing was asked.", False
    wanted = [result for result in results if result.query.role == "grasp"]
    others = [result for result in results if result.query.role != "grasp"]
    graspable = sum(bool(result.grasps) for result in wanted)
    found = sum(result.region is not None for result in others)
    sentences = []
    if wanted:
        amount = f"{graspable} of {len(wanted)} things" if graspable else "Nothing that was asked for"
        sentences.append(f"{amount} can be grasped.")
    if others:
        sentences.append(f"{found} of {len(others)} places to put down at or to avoid found.")
    return " ".join(sentences), graspable == len(wanted) and found == len(others)


def count(number: int, one: str, many: str) -> str:
    """Format a number with its noun."""
    return f"{number} {one if number == 1 else many}"


def agreement(support: Support, rejected_places: Sequence[int]) -> str:
    """Return a sentence on how many views agree, and what the others answer.

    Args:
        support: Support of a region.
        rejected_places: Number of views that name each other place, most first; answers without a surface
            and "not visible" are left out.
    """
    agree, disagree = support.agree, support.disagree
    sentence = f"{agree} of {count(agree + disagree, 'view agrees', 'views agree')}"
    if disagree:
        sentence += "; the other" if disagree == 1 else "; the others"
        sentence += _others(disagree, rejected_places)
    unseen = f" {support.unseen} more were not asked or cannot see it." if support.unseen else ""
    return f"{sentence}.{unseen}"


def _others(disagree: int, places: Sequence[int]) -> str:
    one = disagree == 1
    if not places:
        return f" {'says' if one else 'say'} “not visible” or point at nothing solid"
    text = f" {'names' if one else 'name'} {count(len(places), 'different place', 'different places')}"
    if places[0] > 1:
        text += f" (at most {places[0]} the same one)"
    return text + (" or say “not visible”" if sum(places) < disagree else "")
