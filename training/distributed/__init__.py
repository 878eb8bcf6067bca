"""Devices, the processes of a run, and how they are started."""
