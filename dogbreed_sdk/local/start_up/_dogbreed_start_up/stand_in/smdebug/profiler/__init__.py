"""smdebug's profiler; the stand-in does not profile frameworks."""
