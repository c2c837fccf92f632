"""The generated parts of the documentation, one module per topic; `docs/generate.py` writes them."""
