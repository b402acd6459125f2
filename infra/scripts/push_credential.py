"""Prepares the credentials of a push service for the first deployment of the hub.

Prints base64 of the JSON that Resource Manager expects. No character of it needs quoting in azd.

  push_credential.py apns AuthKey.p8 --key-id KEY --team-id TEAM --bundle-id BUNDLE [--sandbox]
  push_credential.py fcmv1 service-account.json
  push_credential.py browser --subject mailto:you@example.com --public-key KEY --private-key-file FILE

Store what it prints: azd env set-secret APNS_CREDENTIAL (FCM_V1_CREDENTIAL, BROWSER_CREDENTIAL).
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import python_version  # noqa: F401

APNS = "https://api.push.apple.com:443/3/device"
APNS_SANDBOX = "https://api.development.push.apple.com:443/3/device"


def apns(key: str, key_id: str, team_id: str, bundle_id: str, *, sandbox: bool) -> dict[str, str]:
    """Token authentication; certificates do not work for calls. `key` is the text of the `.p8` file.

    Raises:
        ValueError: the text is no private key.
    """
    lines = [line.strip() for line in key.strip().splitlines()]
    if len(lines) < 3 or "BEGIN PRIVATE KEY" not in lines[0] or "END PRIVATE KEY" not in lines[-1]:
        message = "the key file is no .p8 file: it has to begin with -----BEGIN PRIVATE KEY-----"
        raise ValueError(message)
    return {
        "endpoint": APNS_SANDBOX if sandbox else APNS,
        "keyId": key_id,
        "appId": team_id,
        "appName": bundle_id,
        "token": "".join(lines[1:-1]),
    }


def fcm_v1(service_account: str) -> dict[str, str]:
    """`service_account` is the text of the JSON file that Firebase hands out.

    Raises:
        ValueError: it is something else.
    """
    names = {"clientEmail": "client_email", "privateKey": "private_key", "projectId": "project_id"}
    try:
        account = json.loads(service_account)
        return {ours: str(account[theirs]) for ours, theirs in names.items()}
    except (ValueError, KeyError, TypeError):
        message = f"the file is no service account: it needs {', '.join(names.values())}"
        raise ValueError(message) from None


def encoded(properties: Mapping[str, str]) -> str:
    """Base64 of the properties' JSON."""
    return base64.b64encode(json.dumps(properties).encode()).decode()


def main() -> None:
    """Read the arguments and print the credential."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    services = parser.add_subparsers(dest="service", required=True)
    apple = services.add_parser("apns")
    apple.add_argument("key_file", type=Path)
    for name in ("--key-id", "--team-id", "--bundle-id"):
        apple.add_argument(name, required=True)
    apple.add_argument("--sandbox", action="store_true")
    services.add_parser("fcmv1").add_argument("service_account", type=Path)
    browser = services.add_parser("browser")
    browser.add_argument("--subject", required=True)
    browser.add_argument("--public-key", required=True)
    browser.add_argument("--private-key-file", required=True, type=Path)
    given = parser.parse_args()
    try:
        if given.service == "apns":
            text = given.key_file.read_text(encoding="utf-8")
            properties = apns(text, given.key_id, given.team_id, given.bundle_id, sandbox=given.sandbox)
        elif given.service == "fcmv1":
            properties = fcm_v1(given.service_account.read_text(encoding="utf-8"))
        else:
            private = given.private_key_file.read_text(encoding="utf-8").strip()
            properties = {
                "subject": given.subject,
                "vapidPublicKey": given.public_key,
                "vapidPrivateKey": private,
            }
    except (OSError, ValueError) as error:
        sys.exit(f"ERROR: {error}")
    print(encoded(properties))


if __name__ == "__main__":
    main()
