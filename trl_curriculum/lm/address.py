"""Addresses of servers, and the logins in them."""

from typing import Any
from urllib.parse import unquote, urlsplit

from ..disk.fingerprint import redact


def check_address(url: Any) -> tuple[str, tuple[str, str] | None]:
    """
    The address of a server without a slash at its end and without a login, and the login that it has.

    Raises:
        `ValueError`: where it is none of HTTP; it is shown without a password.
    """
    shown = redact(url)
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except (AttributeError, TypeError, ValueError):
        good = False
    if not good or parts.query or parts.fragment:
        raise ValueError(f"url={shown!r} is no address of a server: give one such as 'http://localhost:8000'.")
    login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}", login
