"""Reviews a data set by its stored features: wrong labels, near-copies, outliers, classes that look the same."""
