"""Plain words for what stands in the database as a code; English here, translated where they are shown."""

from __future__ import annotations

from collections.abc import Mapping

from newsletter.core.i18n import N_

STATES: Mapping[str, str] = {
    "pending": N_("waits for your confirmation"),
    "confirmed": N_("subscribed"),
    "unsubscribed": N_("unsubscribed"),
}
EVENTS: Mapping[str, str] = {
    "asked": N_("Asked for it"),
    "confirmed": N_("Confirmed"),
    "refused": N_("Refused"),
    "preferences": N_("Changed the language"),
    "unsubscribed": N_("Unsubscribed"),
    "resubscribed": N_("Took the unsubscribing back"),
    "restricted": N_("Paused"),
    "resumed": N_("Ended a pause or an objection"),
    "objected": N_("Objected"),
    "corrected": N_("Corrected the name"),
    "moved": N_("Changed the address"),
}
VIAS: Mapping[str, str] = {
    "form": N_("by a sign-up form"),
    "page": N_("on one of our pages"),
    "link": N_("by a link in a mail"),
    "one-click": N_("by the button of a mail program"),
    "mail": N_("by mail"),
    "operator": N_("by our staff, on request"),
    "complaint": N_("by a complaint to the mail provider"),
    "bounce": N_("because mail came back"),
    "closing": N_("because the letter ended"),
}
REASONS: Mapping[str, str] = {
    "left": N_("You were deleted here once: nobody but you can sign this address up again."),
    "complained": N_("You complained about our mail to your provider."),
    "bounced": N_("Mail to this address came back."),
    "refused": N_("You told us that you had not asked: we refuse new requests."),
    "objected": N_("You objected: we never write to you."),
    "restricted": N_("You paused: we keep your subscription and send nothing."),
}
OUTCOMES: Mapping[str, str] = {
    "attempting": N_("is being handed over"),
    "accepted": N_("taken by the relay"),
    "deferred": N_("put off, to be tried again"),
    "failed": N_("refused by the relay"),
    "uncertain": N_("handed over, without an answer"),
    "skipped": N_("not sent"),
}
MAILS: Mapping[str, str] = {
    "confirm": N_("It asks you to confirm"),
    "already": N_("It says that you are subscribed already"),
    "welcome": N_("It welcomes you to a letter"),
    "data": N_("It holds the link to your data"),
    "contact": N_("It brings us your message"),
}
"""What waits in the outbox."""
ACTS: Mapping[str, str] = {
    "subscriber.add": N_("Entered the address by hand"),
    "subscriber.find": N_("Looked for this address"),
    "subscriber.show": N_("Looked at what is held"),
    "subscriber.export": N_("Took a copy of it"),
    "subscriber.receipt": N_("Took the receipts"),
    "subscriber.correct": N_("Corrected name or language"),
    "subscriber.restrict": N_("Paused"),
    "subscriber.resume": N_("Ended a pause"),
    "subscriber.object": N_("Recorded an objection"),
    "subscriber.lift-objection": N_("Lifted an objection"),
    "subscriber.unsubscribe": N_("Unsubscribed"),
    "subscriber.move": N_("Asked for another address"),
    "suppression.check": N_("Looked up whether anything may be sent"),
    "suppression.add": N_("Noted that nothing may be sent"),
}
"""What operators do about one person, by its name in their log."""
WITHDRAWALS: Mapping[str, str] = {
    "unsubscribed": N_("Unsubscribed"),
    "refused": N_("Refused"),
    "objected": N_("Objected"),
    "restricted": N_("Paused"),
    "complained": N_("Complained"),
    "erased": N_("Deleted"),
}
SENTENCES_OF_DISCLOSURE = (
    N_("The mail relay that hands our mails over sees your address and each mail; so does your own mail provider."),
    N_("Whoever runs our servers can reach the database. All helpers are named, with country, on the privacy page."),
    N_("Nobody else: the address is never sold, traded or rented."),
)
"""To whom the address was disclosed."""
SENTENCES_OF_ORIGIN = (
    N_("Your address, your name and your choice of letters were typed into the form that stands with each consent."),
    N_("Times, network address and browser were noted by us when it was sent. The answers of relays come from the relays."),
)
"""Where each item came from."""
