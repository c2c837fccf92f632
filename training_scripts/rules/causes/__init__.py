"""Finds the one cause of what is wrong with a run, from its trace in the recording.

Rules report symptoms, and one fault often has several. A cause is named only if its trace is in the recording; if the
trace fits several causes, the others are named too, with what tells them apart.
"""
