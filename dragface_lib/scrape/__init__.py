"""Room 1, photos: where they come from, and how they are fetched, with their licences.

from dragface_lib.scrape import collect, open_source
outcome = collect(open_source("commons", "drag"), Workspace.open().photos, query="Category:Drag queens", limit=100)
"""

from .collect import SOURCES, collect, gather, open_source, stored_rows, withdraw
from .credits import credits, credits_page, licence_sheet

__all__ = ["SOURCES", "collect", "credits", "credits_page", "gather", "licence_sheet", "open_source"]
__all__ += ["stored_rows", "withdraw"]
