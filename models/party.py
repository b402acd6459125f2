"""A party of a call → its MRI.

Shapes: `CommunicationIdentifierModel` in azure-rest-api-specs, `Microsoft.Communication`.
"""

from models.members import Members

_TEAMS_USER_PREFIX_BY_CLOUD = {"public": "8:orgid:", "dod": "8:dod:", "gcch": "8:gcch:"}
_ACS_USER_PREFIX_BY_CLOUD = {"public": "8:acs:", "dod": "8:dod-acs:", "gcch": "8:gcch-acs:"}
_TEAMS_APP_PREFIX_BY_CLOUD = {"public": "28:orgid:", "dod": "28:dod:", "gcch": "28:gcch:"}


def mri_of(party: Members) -> str | None:
    """The raw id, else the MRI that the properties of a user or a phone number make; None for another
    party."""
    if mri := party.text("rawId") or party.object("communicationUser").text("id"):
        return mri
    teams_user = party.object("microsoftTeamsUser")
    if user_id := teams_user.text("userId"):
        return _teams_user_mri(teams_user, user_id)
    if mri := _teams_extension_user_mri(party.object("teamsExtensionUser")):
        return mri
    number = party.object("phoneNumber").text("value")
    return f"4:{number}" if number else None


def mri_of_app(party: Members) -> str | None:
    """The MRI of a Teams app, such as a bot."""
    app = party.object("microsoftTeamsApp")
    app_id, prefix = app.text("appId"), _of_cloud(app, _TEAMS_APP_PREFIX_BY_CLOUD)
    return f"{prefix}{app_id}" if prefix and app_id else None


def _teams_user_mri(user: Members, user_id: str) -> str | None:
    if user.is_true("isAnonymous"):
        return f"8:teamsvisitor:{user_id}"
    prefix = _of_cloud(user, _TEAMS_USER_PREFIX_BY_CLOUD)
    return f"{prefix}{user_id}" if prefix else None


def _teams_extension_user_mri(user: Members) -> str | None:
    prefix = _of_cloud(user, _ACS_USER_PREFIX_BY_CLOUD)
    ids = [user.text(name) for name in ("resourceId", "tenantId", "userId")]
    return prefix + "_".join(filter(None, ids)) if prefix and all(ids) else None


def _of_cloud(user: Members, prefixes: dict[str, str]) -> str | None:
    return prefixes.get((user.text("cloud") or "public").lower())
