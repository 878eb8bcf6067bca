"""Figures for a student's report, and for the pages that our commands write."""
