"""From a capture to grasps: runs, sessions, interactive sessions and what they write."""
