"""Keys of services: found in the environment, and kept out of everything that people or files get to see."""

from __future__ import annotations

import ipaddress
import os
import re
from urllib.parse import urlsplit

from point2act.core.errors import ModelError

_NO_KEY = "EMPTY"
"""What vLLM's manual sends to a server that wants no key; the client insists on some."""

_SECRET = 8
"""Shortest key that can be told from ordinary words and numbers, characters. Chosen."""

_HIDDEN = "(hidden key)"

# What services echo of keys in their errors: OpenAI's and Google's own, header values, and masks of stars.
_LOOKS_LIKE_A_KEY = re.compile(
    r"\bsk-[\w*.…-]{4,}|AIza[\w*.…-]{4,}|(?<=Bearer )(?!\(hidden)[^\s\"']+|[\w-]*\*{3,}[\w-]*"
)
_HEADER = re.compile(
    r"((?:authorization|api[-_]key)[\"']?\s*[:=]\s*[\"']?)(?:\w+ )?(?!\(hidden)[^\s\"',]+", re.IGNORECASE
)
_NAMED_LIKE_A_KEY = re.compile(r"(?:^|_)(?:KEY|TOKEN|SECRET|PASSWORD)$")

# Those that were given out, for files of models may name their variables as they please.
_given_out: set[str] = set()


def find_key(variable: str, base_url: str) -> str:
    """The key for a server, from an environment variable; servers of one's own may do without.

    Raises ``ModelError``, which names the variable, where a public service has no key, or the key
    cannot be sent.
    """
    key = os.environ.get(variable, "").strip()
    if not key:
        if is_private(base_url):
            return _NO_KEY
        raise ModelError(f"{base_url} needs a key: put it into the environment variable {variable}")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ModelError(
            f"the environment variable {variable} holds what cannot be a key (spaces, line breaks or "
            "letters with accents): set it again"
        )
    _given_out.add(key)
    return key


def is_private(base_url: str) -> bool:
    """Whether an address lies on this machine or in a local network, by its name alone."""
    host = urlsplit(base_url).hostname or ""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".local", ".lan", ".internal"))


def is_loopback(base_url: str) -> bool:
    """Whether an address lies on this machine."""
    host = urlsplit(base_url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
        return address.is_loopback or address.is_unspecified
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def hide_key(text: str, key: str) -> str:
    """A message without the key, whole or masked, and without anything that looks like one."""
    if key != _NO_KEY:
        text = text.replace(key, _HIDDEN)
        if len(key) >= _SECRET:
            text = re.sub(re.escape(key[: _SECRET - 2]) + r"[^\s\"']*", _HIDDEN, text)
            text = re.sub(re.escape(key[:4]) + r"[^\s\"']*" + re.escape(key[-4:]), _HIDDEN, text)
    return _LOOKS_LIKE_A_KEY.sub(_HIDDEN, text)


def hide_key_in_reply(text: str, key: str) -> str:
    """A model's reply without the key. Everything else stays: stars and numbers mean something there."""
    return text.replace(key, _HIDDEN) if key != _NO_KEY and len(key) >= _SECRET else text


def hide_keys(text: str) -> str:
    """A text about anything without any key: those given out, those in the environment, what looks like one.

    Keys too short to be told from words are left to ``hide_key``, which knows where they may occur.
    """
    known = {value.strip() for name, value in os.environ.items() if _NAMED_LIKE_A_KEY.search(name)}
    for key in sorted(known | _given_out, key=len, reverse=True):
        if len(key) >= _SECRET:
            text = text.replace(key, _HIDDEN)
    return _LOOKS_LIKE_A_KEY.sub(_HIDDEN, _HEADER.sub(rf"\1{_HIDDEN}", text))
