"""Looking at what a run did: a picture of it, and a page."""
