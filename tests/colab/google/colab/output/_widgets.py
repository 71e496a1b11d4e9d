"""Colab's manager of widgets that do not come with ipywidgets; anywidget reads `_installed_url`."""

_installed_url = None


def enable_custom_widget_manager(version="5.0.0a"):
    """Lets such widgets be shown from now on."""
    global _installed_url
    _installed_url = (
        f"https://ssl.gstatic.com/colaboratory-static/widgets/colab-cdn-widget-manager/{version}/manager.min.js"
    )
