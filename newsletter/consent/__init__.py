"""What may be sent to whom, and the proof of it: evidence, suppression, withdrawals.

Evidence is appended and erased, never changed. A suppression holds a keyed id and outlives the person's rows. Every
function here runs in the caller's transaction: evidence that is not committed with the act that it proves would prove
nothing.
"""
