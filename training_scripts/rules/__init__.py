"""Rules that say what went wrong in a recorded run, and when: pure functions of arrays."""
