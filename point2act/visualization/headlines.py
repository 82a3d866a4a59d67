"""Why a query has no action point or no grasp, as a headline for the report and the viewer."""

from point2act.core.types import Reason

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
