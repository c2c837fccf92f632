"""Pictures of none of the classes, scores that recognize them, and figures of both: the parts of `not_a_dog.py`."""
