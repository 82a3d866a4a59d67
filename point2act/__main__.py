"""``python -m point2act``."""

from point2act.cli import main

main()
