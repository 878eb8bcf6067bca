"""Users' files: the one place where they are opened, and where the numbers in them are read.

Whatever a file holds, what is here returns a value or raises UserError with one line.
"""
