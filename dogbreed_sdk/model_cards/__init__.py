"""Model cards, made from bundles: what a model is, how good it is, and under which terms it may be used."""
