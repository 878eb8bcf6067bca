"""Damaged files of every kind: each ends in a scene of finite numbers, or in one line.

    python -m tests.fuzz --seconds 600 --seed 1
    python -m tests.fuzz --target npz --case 123        # one case again, with its traceback

A target is a kind of file: small valid files, ways to damage them, and the code that reads them. A
case is a target and a number, from which the damage follows. Cases run one after another in a child
process, which is ended when one takes too long.
"""
