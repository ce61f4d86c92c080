"""The one tree of errors.

A class says what went wrong in a sentence for the person who has to act on it. It knows nothing of HTTP or exit codes: `web`
and `cli` translate. Messages hold no mail address and no secret, since they are logged.
"""

from __future__ import annotations


class NewsletterError(Exception):
    """Anything that we refuse or that fails in a way we foresaw. `str(error)` says what to do next."""


class SettingsError(NewsletterError):
    """The configuration cannot work; each line of the message names a setting and the remedy."""


class InvalidInput(NewsletterError):
    """What a person or program gave us does not fit. Nothing was changed.

    `field` names the part of the input that it is about, in the caller's own words; `line` is 1-based where the input is text.
    """

    def __init__(self, message: str, *, field: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.line = line


class InvalidAddress(InvalidInput):
    """The mail address cannot be written to as it stands."""


class InvalidContent(InvalidInput):
    """What an operator wrote cannot become a mail: no body, broken template, unknown merge field, forbidden characters."""


class NotFound(NewsletterError):
    """What was named does not exist (any more)."""


class Conflict(NewsletterError):
    """It exists, but its state does not allow what was asked."""


class Forbidden(NewsletterError):
    """The caller is known but may not do that."""


class InvalidToken(NewsletterError):
    """A link that is forged, cut short, or was made for something else."""


class ExpiredToken(InvalidToken):
    """A link of ours whose time is over, or whose purpose is gone."""


class TooMany(NewsletterError):
    """A limit against abuse was reached."""

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds after which it is worth trying again."""


class DatabaseError(NewsletterError):
    """PostgreSQL refused a statement. Holds its SQLSTATE, never the row (which holds addresses)."""

    def __init__(self, message: str, *, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class DatabaseUnavailable(DatabaseError, ConnectionError):
    """PostgreSQL cannot be reached, is starting or is shutting down: wait and go on."""


class StatementTimeout(DatabaseUnavailable):
    """PostgreSQL was reached, and did not finish a statement in its time.

    Whoever must go on whatever happens waits and goes on, as for a server that is away. Whoever does one thing of many takes it
    for a failure of that one: the next statement may well be answered.
    """


class SchemaMismatch(NewsletterError):
    """The database's schema and this program do not fit together; the message says which side has to move."""


class SchemaBehind(SchemaMismatch):
    """The database waits for `newsletter migrate`: time heals this where that is on its way."""


class WrongSecret(NewsletterError):
    """NEWSLETTER_SECRET does not open the keys in this database."""


class RelayError(NewsletterError):
    """Base of what can go wrong between us and a relay."""


class RelayUnreachable(RelayError, ConnectionError):
    """No session could be had: nothing was handed over, no reader is to blame."""
