"""Colab's errors."""


class Error(Exception):
    """The base of them."""


class RuntimeManagementError(Error):
    """The runtime could not be given back."""


class MessageError(Error):
    """The browser answered with an error."""
