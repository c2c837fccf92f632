"""Watches a deployed model: have its answers moved away from those on the validation split?"""
