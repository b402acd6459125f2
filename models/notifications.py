"""Which pushes are sent beside rings, and the texts of visible ones."""

from dataclasses import dataclass

from models.platform import Platform

UNKNOWN_CALLER = "Unknown caller"
CALLER = "{caller}"
"""Stands for the caller's display name in a text."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Title and body of a visible notification."""

    title: str
    body: str

    def filled(self, display_name: str | None) -> "Texts":
        """The texts for a call of that caller."""
        name = display_name or UNKNOWN_CALLER
        return Texts(self.title.replace(CALLER, name), self.body.replace(CALLER, name))


@dataclass(frozen=True, slots=True)
class NotificationOptions:
    """What the deployment has switched on. Nothing is by default."""

    stop_ringing: frozenset[Platform] = frozenset()
    """The platforms whose devices are told to ring no more."""
    missed: bool = False
    """Missed calls are shown."""
    fallback: bool = False
    """An iPhone whose VoIP push was refused shows the incoming call."""
    missed_call: Texts = Texts("Missed call", CALLER)
    incoming_call: Texts = Texts("Incoming call", CALLER)

    @property
    def needs_call_ends(self) -> bool:
        """What events say of the end of a call is of use."""
        return bool(self.stop_ringing) or self.missed

    @property
    def needs_display_name(self) -> bool:
        """A notification shows the caller's name."""
        shown = ((self.missed, self.missed_call), (self.fallback, self.incoming_call))
        return any(is_on and CALLER in texts.title + texts.body for is_on, texts in shown)
