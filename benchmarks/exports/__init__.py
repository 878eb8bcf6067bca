"""What export.py writes."""
