"""The grasp head: surface, contact pairs, collision, score. numpy and scipy only."""
