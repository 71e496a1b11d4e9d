"""Secrets, which a notebook must be given access to one by one."""

import re

from . import _front_end, errors


class NotebookAccessError(Exception):
    """The secret is there, and this notebook may not read it."""


class SecretNotFoundError(errors.Error):
    """There is no such secret."""


class TimeoutException(errors.Error):
    """Nobody answered: no browser is there."""


def get(key):
    """The secret's value."""
    if not key or not isinstance(key, str):
        raise ValueError("Please enter a valid secret name")
    if re.search(r"\s", key):
        raise ValueError("Secret name cannot contain spaces or whitespace")
    if not _front_end.setting("browser", True):
        raise TimeoutException(f"Requesting secret {key} timed out.")
    found = _front_end.setting("secrets", {}).get(key)
    if found is None:
        raise SecretNotFoundError(f"Secret {key} does not exist.")
    if not found["access"]:
        raise NotebookAccessError(f"Notebook does not have access to secret {key}")
    return found["value"]
