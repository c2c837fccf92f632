"""Recorded runs: the trial format and the profiler's format, written and read with NumPy alone."""
