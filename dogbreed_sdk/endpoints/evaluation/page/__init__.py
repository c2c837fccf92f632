"""The page of an evaluation: the statistics, and the mistakes with their pictures, as one HTML file."""
