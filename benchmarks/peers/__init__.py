"""What others write for the same work, and the environments that it runs in."""
