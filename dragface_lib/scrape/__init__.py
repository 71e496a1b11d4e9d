"""Room 1, photos: where they come from, and how they are fetched, with their licences.

from dragface_lib.scrape import collect, open_source
source, words = open_source("commons", "drag", "Category:Drag queens in Brazil")
outcome = collect(source, Workspace.open().photos, query=words, limit=100)
"""

from .collect import NEEDS, Outcome, collect, dry_run, gather, open_source, stored_rows, withdraw
from .credits import credits, credits_page, licence_sheet
from .download import Result, download
from .gallery_dl import GalleryDL
from .sources import Drive, Folder, Manifest, Zip
from .web import Commons, Google, Openverse

__all__ = [
    "NEEDS",
    "Commons",
    "Drive",
    "Folder",
    "GalleryDL",
    "Google",
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
    "gather",
    "licence_sheet",
    "open_source",
    "stored_rows",
    "withdraw",
]
