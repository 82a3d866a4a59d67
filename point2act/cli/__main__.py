"""``python -m point2act.cli``: the command line where ``point2act`` is not on the path."""

from point2act.cli.main import main

main()
