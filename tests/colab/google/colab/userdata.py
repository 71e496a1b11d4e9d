"""Secrets, which a notebook must be given access to one by one."""

import re

from . import _front_end, errors


class NotebookAccessError(Exception):
    """The secret is there, and this notebook may not read it."""

    def __init__(self, key):
        super().__init__(f"Notebook does not have access to secret {key}")


class SecretNotFoundError(errors.Error):
    """There is no such secret."""

    def __init__(self, key):
        super().__init__(f"Secret {key} does not exist.")


class TimeoutException(errors.Error):
    """Nobody answered: no browser is there."""

    def __init__(self, key):
        super().__init__(
            f"Requesting secret {key} timed out. Secrets can only be fetched when running from the Colab UI."
        )


def get(key):
    """The secret's value."""
    if not key or not isinstance(key, str):
        raise ValueError("Please enter a valid secret name")
    if re.search(r"\s", key):
        raise ValueError("Secret name cannot contain spaces or whitespace")
    if not _front_end.setting("browser", True):
        raise TimeoutException(key)
    found = _front_end.setting("secrets", {}).get(key)
    if found is None:
        raise SecretNotFoundError(key)
    if not found["access"]:
        raise NotebookAccessError(key)
    return found["value"]
