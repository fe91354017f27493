"""One file a feed: what its events are to us. Adding a feed is one file here and one loop in ``__main__``."""
