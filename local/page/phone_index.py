"""The phones by what the app, the hub and the log call them (pure)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from local.page.phones import Phone, handle_of


@dataclass(frozen=True, slots=True)
class PhoneIndex:
    """The phones by what names them."""

    by_id: Mapping[str, Phone]
    by_token: Mapping[str, Phone]
    by_registration: Mapping[str, Phone]
    """By the first 16 digits of a registration's id, as in the log."""
    nickname: Callable[[str], str]

    @classmethod
    def of(cls, phones: Iterable[Phone], nickname: Callable[[str], str]) -> "PhoneIndex":
        """Of the registered phones."""
        by_id = {phone.id: phone for phone in phones}
        registered = [(phone, one) for phone in by_id.values() for one in phone.registrations]
        return cls(
            by_id=by_id,
            by_token={handle_of(one): phone for phone, one in registered},
            by_registration={one.registration_id[:16]: phone for phone, one in registered},
            nickname=nickname,
        )

    def name(self, phone: Phone | None) -> str:
        """How the page calls a phone."""
        return f"{self.nickname(phone.user)}'s {phone.name}" if phone else "a phone that is not registered"
