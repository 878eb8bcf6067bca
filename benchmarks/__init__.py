"""Measurements. Each script writes a record of its figures (record.py); page.py shows them all."""
