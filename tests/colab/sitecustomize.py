"""As Colab's kernel: what asks whether it is there looks for this module."""

import google.colab.output  # noqa: F401
