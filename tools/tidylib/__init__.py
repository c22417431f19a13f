"""Rules of tools/tidy.py, one module per kind."""
