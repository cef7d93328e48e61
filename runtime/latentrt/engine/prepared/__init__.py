"""Networks as the CPU provider wants them, kept in a folder and mapped from it: what is loaded again loads at once.

`folder.py` is the folder, `key.py` what a network there is known by, `entry.py` one of them, `making.py` makes it.
"""
