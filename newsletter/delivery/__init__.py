"""Mail going out.

What this room promises:

- A reader gets a campaign once: one delivery row for (campaign, subscriber), one Message-ID for it, whatever happens.
- Killed at any instant, on resume nobody is lost. In flight means: intent committed, outcome not. Those become `uncertain`
  and are sent again under the same Message-ID, or left, as the campaign says.
- 2xx after the last dot, and nothing else, is taken by the relay; 4xx is tried again with growing pauses for four days; 5xx
  is not tried again. A connection lost once the body has begun is uncertain; one lost before is not: where an old session had
  ended the mail goes at once on a new one, else minutes later. A relay that cannot be reached touches no reader.
- No body is begun later than 5 s after an unsubscribe was answered: what was read more than 2 s ago is read again before a
  body.
- A worker that lost its lease stops by its own monotonic clock; its outcomes are guarded updates, so they revive nobody.
- Totals stand with the batch and always equal the sum of the rows, with what was folded, also while people are erased.
- Limits of relays, lists and domains hold over all workers. A reader of a domain that is full is put aside, so that the batch
  goes on; that is no attempt.

It receives what is to be said ready to be composed; how a campaign is written it does not know.
"""
