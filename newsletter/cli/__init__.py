"""The command line: one file for each group of commands, no rules in them. A command opens the house, calls one service and
prints."""
