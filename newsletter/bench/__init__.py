"""Measuring this machine: how fast it is at what the program does, with its own limit beside it from the same run.

Everything happens in a database, with a relay and a worker, made for the purpose and gone afterwards.
"""
