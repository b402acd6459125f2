"""After provisioning: what was made once is not made again, and what is to be done by hand next."""

from __future__ import annotations

import python_version  # noqa: F401
from command_line import Azd
from hook import chosen, is_true, main, needed, say

CONNECTION_STRING = "MONGODB_CONNECTION_STRING"
CREDENTIALS = ("APNS_CREDENTIAL", "FCM_V1_CREDENTIAL", "BROWSER_CREDENTIAL")


def postprovision() -> None:
    """Keep in azd's environment what is there, also for a provision whose hooks are skipped."""
    azd = Azd(needed("AZURE_ENV_NAME", "Run this through azd: azd hooks run postprovision"))
    azd.set("KEEP_DATABASE_ADMINISTRATOR", "true" if is_true("CREATE_DATABASE", default=True) else "false")
    azd.set("RECOVER_KEY_VAULT", "false")
    if chosen(CONNECTION_STRING) and not is_true("CREATE_DATABASE", default=True):
        azd.set(CONNECTION_STRING, "")
        say(f"{CONNECTION_STRING} is in the key vault now, and cleared in azd's environment:")
        say("the next provision would undo a change of the secret. Change it in the vault: docs/security.md.")
    if not is_true("CREATE_NOTIFICATION_HUB", default=False):
        return
    azd.set("CREATE_NOTIFICATION_HUB", "false")
    given = [name for name in CREDENTIALS if chosen(name)]
    namespace = chosen("HUB_NAMESPACE", "(see the portal)")
    say(f"The notification hub in the namespace {namespace} was made.")
    say(f"It has the credentials {', '.join(given) or 'of no push service'}. Enter the others in the portal:")
    say("docs/deployment.md, 'Credentials of the push services'.")


if __name__ == "__main__":
    main(postprovision)
