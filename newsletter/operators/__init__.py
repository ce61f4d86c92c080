"""The people who run a newsletter: accounts, API tokens, and the log of what they did."""
