"""Healthy and faulty training runs, and what is right about them: the parts of `rule_battery.py`."""
