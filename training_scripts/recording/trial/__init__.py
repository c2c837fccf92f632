"""The trial format, smdebug's own: reading and writing recorded tensors."""
