"""Joining, confirming and leaving; lists; limits against abuse; what must be forgotten about people.

Nobody is mailed before they confirm. Which answer a sign-up gets is decided by a worker and not by the page, so that words
and time of the page's answer tell nobody whether an address is known. Every change of one person's state takes the lock on
that person first.
"""
