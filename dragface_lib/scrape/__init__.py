"""Room 1, photos: where they come from, and how they are fetched, with their licences.

from dragface_lib.scrape import collect, open_source
source, words = open_source("commons", "drag", "Category:Drag queens in Brazil")
outcome = collect(source, Workspace.open().photos, query=words, limit=100)
"""

from .collecting import NEEDS, Outcome, collect, dry_run, gather, open_source, withdraw
from .downloading import Result, download, each_download, take_own_photos
from .gallery import GalleryDL
from .licences import credits, credits_page, licence_sheet
from .sources import Drive, Folder, LocalRow, Manifest, Zip
from .web_sources import Commons, Google, Openverse

__all__ = [
    "NEEDS",
    "Commons",
    "Drive",
    "Folder",
    "GalleryDL",
    "Google",
    "LocalRow",
    "Manifest",
    "Openverse",
    "Outcome",
    "Result",
    "Zip",
    "collect",
    "credits",
    "credits_page",
    "download",
    "dry_run",
    "each_download",
    "gather",
    "licence_sheet",
    "open_source",
    "take_own_photos",
    "withdraw",
]
