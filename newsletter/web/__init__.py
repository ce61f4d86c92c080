"""HTTP in, HTML or JSON out, nothing else: a handler parses, calls one service, renders."""
