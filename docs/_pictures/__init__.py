"""How the pictures of the documentation are made; `docs/take_pictures.py` is the command."""
