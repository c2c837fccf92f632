"""The comparison of recorded runs: curves, results against parameters, rules side by side, and what changed what."""
