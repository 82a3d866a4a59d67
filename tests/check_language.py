"""Find words that a robotics engineer would not search for, each with the standard term to use instead.

``make lint`` runs this over every tracked text file; it lists each place and exits with 1 where there is any.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

WORDS = {
    # Whole words and word parts of names: ``_`` separates parts of a name, as does a capital letter.
    r"mend(s|ed|ing)?": "refine (poses), repair (a file), fix",
    r"whoever|whom|nobody|somebody": "the user, no one, none",
    r"sights?": "projection, view",
    r"looks": "crops, views, projections",
    r"said|told|tells?|heard": "answered, reported, logged, says",
    r"begin(s)?|began|begun": "start, initialise",
    r"rooms?": "module, package; clearance, space",
    r"hunt(s|ed|ing)?": "debug",
    r"leash|flattery|hopeless|aloof": "max_step, dof_correction, failure_threshold, clearance_count",
    r"crowd(s)?|conductor|obey(s)?": "executor, coordinator, dispatch",
    r"standing|undone|stories|story": "state, skipped, summary",
    r"doubt(s|ed|ful)?": "outlier rejection",
    r"skins?": "thin adapter",
    r"flatland": "2D scene",
    r"mine": "own",
    r"wherefore|whence|thereof|herein": "plain English",
}
"""Regular expression of whole words -> what to write."""

PHRASES = {
    r"\b(so|as) many as\b|\bat most so many\b|\bso many\b": "maximum number of",
    r"\b(is|are|was) there already\b": "already exists",
    r"\bleave (it|them|[-\w']+)( of them)? away\b": "omit",
    r"\b(that|which) (is|are) none\b": "non-finite; not a ...",
    r"\bcut off\b": "interrupted",
    r"\btak(e|en|es) up\b": "resumed",
    r"\bload what it takes\b|\blook for the scene\b": "load dependencies, check for a saved scene",
    r"\blook from the views\b|\bfind the places\b": "render views, localize queries",
    r"\btak(e|en|es) away\b": "download, export",
    r"\bwrong or weak\b": "errors and warnings",
    r"\bburnt out\b|\bfar round\b": "overexposed, angular coverage",
    r"\bshort loop\b": "training loop",
    r"\bhangs? together\b": "connected component",
}
"""Regular expression of phrases in prose -> what to write."""

SUFFIXES = {".py", ".md", ".toml", ".css", ".html", ".jinja", ".txt", ".yml"}
EXEMPT = {"tests/check_language.py", "LICENSE", "tests/data/config_of_an_earlier_run.yml"}


def compiled() -> list[tuple[re.Pattern[str], str]]:
    """All patterns; whole words also where they are a part of a name."""
    part = r"(?:(?<![A-Za-z])|(?<=[a-z])(?=[A-Z]))(?i:{})(?![a-z])"
    words = [(re.compile(part.format(word)), term) for word, term in WORDS.items()]
    return words + [(re.compile(phrase, re.IGNORECASE), term) for phrase, term in PHRASES.items()]


def findings(path: Path, patterns: list[tuple[re.Pattern[str], str]]) -> list[str]:
    """One line for each place in a file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [
        f"{path}:{number}: '{match.group()}': use {term}"
        for number, line in enumerate(lines, 1)
        for pattern, term in patterns
        for match in pattern.finditer(line)
    ]


def main() -> None:
    """Check the tracked files, or those named on the command line."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True).stdout
    wanted = sys.argv[1:]
    paths = [Path(name) for name in listed.split("\0") if name and name not in EXEMPT]
    paths = [path for path in paths if path.suffix in SUFFIXES and path.is_file()]
    if wanted:
        paths = [path for path in paths if any(str(path).startswith(prefix) for prefix in wanted)]
    patterns = compiled()
    found = [finding for path in paths for finding in findings(path, patterns)]
    print("\n".join(found) or "language: no words of a private dialect")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
