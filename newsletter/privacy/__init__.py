"""Promises at work: runs what the rooms declared that they must forget, and keeps the record of it."""
