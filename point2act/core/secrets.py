"""API keys: read from the environment, and removed from logs, errors and files."""

from __future__ import annotations

import ipaddress
import os
import re
from urllib.parse import urlsplit

from point2act.core.errors import ModelError

_NO_KEY = "EMPTY"
"""Placeholder that vLLM's manual sends to a server without a key; the client insists on one."""

_MIN_LENGTH = 8
"""Length in characters from which a key differs from ordinary words and numbers. Chosen."""

_HIDDEN = "(hidden key)"

# How services quote keys in errors: OpenAI's and Google's formats, header values, and stars.
_KEY_FORMAT = re.compile(
    r"\bsk-[\w*.…-]{4,}|AIza[\w*.…-]{4,}|(?<=Bearer )(?!\(hidden)[^\s\"']+|[\w-]*\*{3,}[\w-]*"
)
_HEADER = re.compile(
    r"((?:authorization|api[-_]key)[\"']?\s*[:=]\s*[\"']?)(?:\w+ )?(?!\(hidden)[^\s\"',]+", re.IGNORECASE
)
_KEY_VARIABLE = re.compile(r"(?:^|_)(?:KEY|TOKEN|SECRET|PASSWORD)$")

# All keys that find_key returned: model files may choose any name of a variable.
_used_keys: set[str] = set()


def find_key(variable: str, base_url: str) -> str:
    """Return the key for a server from an environment variable; a server on a private network needs none.

    Raises ``ModelError``, which names the variable, if a public service has no key or the key is malformed.
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
    _used_keys.add(key)
    return key


def is_private(base_url: str) -> bool:
    """Return whether a URL's host is this machine or in a private network, by its name alone."""
    host = urlsplit(base_url).hostname or ""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".local", ".lan", ".internal"))


def is_loopback(base_url: str) -> bool:
    """Return whether a URL's host is this machine."""
    host = urlsplit(base_url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
        return address.is_loopback or address.is_unspecified
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def hide_key(text: str, key: str) -> str:
    """Remove a key, whole or masked, and anything in the format of a key from a message."""
    if key != _NO_KEY:
        text = text.replace(key, _HIDDEN)
        if len(key) >= _MIN_LENGTH:
            text = re.sub(re.escape(key[: _MIN_LENGTH - 2]) + r"[^\s\"']*", _HIDDEN, text)
            text = re.sub(re.escape(key[:4]) + r"[^\s\"']*" + re.escape(key[-4:]), _HIDDEN, text)
    return _KEY_FORMAT.sub(_HIDDEN, text)


def hide_key_in_reply(text: str, key: str) -> str:
    """Remove a key from a model's reply and leave the rest, where stars and numbers have a meaning."""
    return text.replace(key, _HIDDEN) if key != _NO_KEY and len(key) >= _MIN_LENGTH else text


def hide_keys(text: str) -> str:
    """Remove all keys from text: those read, those in the environment, and anything in the format of a key.

    Keys shorter than 8 characters are left to ``hide_key``.
    """
    known = {value.strip() for name, value in os.environ.items() if _KEY_VARIABLE.search(name)}
    for key in sorted(known | _used_keys, key=len, reverse=True):
        if len(key) >= _MIN_LENGTH:
            text = text.replace(key, _HIDDEN)
    return _KEY_FORMAT.sub(_HIDDEN, _HEADER.sub(rf"\1{_HIDDEN}", text))
