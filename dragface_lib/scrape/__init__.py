"""Room 1, photos: where they come from, and how they are fetched, with their licences.

from dragface_lib.scrape import download, take_own_photos
results = download(read_manifest(find_manifest()), Workspace.open().photos / "selfie")
"""

from .downloading import Result, download, take_own_photos
from .licences import credits, licence_sheet
from .sources import Drive, Folder, LocalRow, Manifest

__all__ = [
    "Drive",
    "Folder",
    "LocalRow",
    "Manifest",
    "Result",
    "credits",
    "download",
    "licence_sheet",
    "take_own_photos",
]
