"""``point2act completion bash|zsh|fish``: a script that completes commands and options in a shell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

import tyro

from point2act.cli.options import Option, list_options, parse
from point2act.cli.overview import COMMANDS, EVERYWHERE, module_of


@dataclass(frozen=True)
class Arguments:
    """Print a completion script.

    point2act completion bash > ~/.local/share/bash-completion/completions/point2act
    point2act completion zsh > ~/.zfunc/_point2act          (a folder in $fpath)
    point2act completion fish > ~/.config/fish/completions/point2act.fish
    """

    shell: tyro.conf.Positional[Literal["bash", "zsh", "fish"]]
    """Shell that will read the script."""


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and print the script."""
    scripts = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    print(scripts[parse(Arguments, argv, "completion").shell]())


def _options() -> dict[str, list[Option]]:
    """Return the user-level options of every command."""
    options = {}
    for command in COMMANDS:
        module = import_module(module_of(command))
        classes = [*getattr(module, "KINDS", {}).values()]
        classes += [module.Arguments] if hasattr(module, "Arguments") else []
        found = [option for cls in classes for option in list_options(cls) if "." not in option.path]
        options[command] = list({option.path: option for option in found}.values())
    return options


def _words(command: str, options: Sequence[Option]) -> list[str]:
    """Return the words that may follow a command."""
    kinds = list(getattr(import_module(module_of(command)), "KINDS", ()))
    return kinds + [value for option in options if option.positional for value in option.choices]


def _bash() -> str:
    cases, values = [], {}
    for command, options in _options().items():
        flags = [flag for option in options for flag in option.flags]
        cases.append(f'        {command}) words="{" ".join([*flags, *_COMMON])}";;')
        values[command] = _words(command, options)
        values |= {flag: option.choices for option in options for flag in option.flags}
    chosen = [f'        {word}) words="{" ".join(v)}"; plain=1;;' for word, v in values.items() if v]
    return _BASH.format(commands=" ".join(COMMANDS), cases="\n".join(cases), values="\n".join(chosen))


def _zsh() -> str:
    """Return the bash script for zsh, which reads it with bashcompinit."""
    return f"#compdef point2act\nautoload -U +X bashcompinit && bashcompinit\n{_bash()}"


def _fish() -> str:
    lines = ["complete -c point2act -e"]
    for command, text in COMMANDS.items():
        lines.append(f"complete -c point2act -n __fish_use_subcommand -f -a {command} -d {_quoted(text)}")
    for command, options in _options().items():
        seen = f"complete -c point2act -n '__fish_seen_subcommand_from {command}'"
        if words := _words(command, options):
            lines.append(f"{seen} -f -a {_quoted(' '.join(words))}")
        for option in options:
            for flag in option.flags:
                value = f" -x -a {_quoted(' '.join(option.choices))}" if option.choices else " -r"
                line = f"{seen} -l {flag[2:]} -d {_quoted(option.text)}"
                lines.append(line + ("" if option.kind is bool else value))
        lines += [f"{seen} -l {flag[2:]} -d {_quoted(text)}" for flag, text in _COMMON.items()]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    """Return a text as one word of fish."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


_COMMON = {
    "--help": "Show help.",
    "--help-all": "Show all options.",
    "--config": "Read options.",
    **EVERYWHERE,
}

_BASH = """\
_point2act() {{
    local cur="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" words="" plain=""
    case "${{COMP_WORDS[1]}}" in
{cases}
    esac
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="{commands}"; plain=1
    else case "$before" in
{values}
    esac; fi
    COMPREPLY=()
    if [ -n "$plain" ] || [[ "$cur" == -* ]]; then
        COMPREPLY=($(compgen -W "$words" -- "$cur"))
    fi
}}
complete -o default -F _point2act point2act"""
