"""The report as a page: one HTML file, or a fragment for a notebook."""
