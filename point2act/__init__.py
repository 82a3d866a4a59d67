"""point2act: find and grasp the right thing from a sentence."""
