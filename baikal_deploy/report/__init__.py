"""Views of what a run did: a picture of it, and a page."""
