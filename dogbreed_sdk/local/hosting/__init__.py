"""Runs endpoints: model servers, and the requests sent to them."""
