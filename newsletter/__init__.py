"""A newsletter subscription manager whose privacy policy is executable."""

__version__ = "0.1.0"
