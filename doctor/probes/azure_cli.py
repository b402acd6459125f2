"""Asks Azure through the Azure CLI (`az`) and its sign-in, so that the doctor has no code for credentials."""

import json
import shlex
import shutil
import subprocess
from collections.abc import Sequence

from doctor.checks.azure import Unanswered

TIMEOUT_SECONDS = 120.0

_SIGN_IN = ("az login", "aadsts", "no subscription found", "refresh token has expired")
_FORBIDDEN = (
    "authorizationfailed",
    "forbidden",
    "does not have authorization",
    "authorizationpermissionmismatch",
)
_NOT_FOUND = ("notfound", "not found", "could not be found", "was not found")


class AzureCliError(Exception):
    """`az` gave no answer."""

    def __init__(self, unanswered: Unanswered) -> None:
        super().__init__(unanswered.detail)
        self.unanswered = unanswered


class AzureCli:
    """Runs `az`."""

    def __init__(self, subscription: str | None = None) -> None:
        """Take the subscription to ask, by id or name; None for the one that `az` has selected."""
        self._program = shutil.which("az")  # on Windows it is az.cmd
        self._subscription = ("--subscription", subscription) if subscription else ()

    def ask(self, *arguments: str) -> object:
        """The JSON that a command prints; None if it prints nothing.

        Raises:
            AzureCliError: there is none. What `az` itself wrote is not kept: it may quote secrets.
        """
        shown = command_line([*arguments, *self._subscription])
        if self._program is None:
            raise AzureCliError(
                Unanswered(
                    "the Azure CLI (az) is not installed here",
                    "Install it (https://aka.ms/azure-cli), or use Azure's Cloud Shell, which has it.",
                )
            )
        options = ("--output", "json", "--only-show-errors")
        try:
            done = subprocess.run(  # noqa: S603 - no shell; the arguments are a list
                [self._program, *arguments, *self._subscription, *options],
                capture_output=True,
                timeout=TIMEOUT_SECONDS,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            raise AzureCliError(Unanswered("az took too long", "Try it by itself:", (shown,))) from None
        if done.returncode != 0:
            raise AzureCliError(refusal(done.stderr.decode("utf-8", "replace"), shown))
        text = done.stdout.decode("utf-8-sig", "replace").strip()
        try:
            return json.loads(text) if text else None
        except ValueError:
            raise AzureCliError(Unanswered("az printed no JSON", "Try it by itself:", (shown,))) from None

    def get(self, path: str, api_version: str) -> object:
        """The JSON of a resource of Azure Resource Manager, by its path; AzureCliError without one."""
        return self.ask("rest", "--method", "get", "--url", f"{path}?api-version={api_version}")

    def post(self, path: str, api_version: str) -> object:
        """The same for an action that only reads."""
        return self.ask("rest", "--method", "post", "--url", f"{path}?api-version={api_version}")


def command_line(arguments: Sequence[str]) -> str:
    """A command of `az` to paste into a shell."""
    return shlex.join(["az", *arguments])


def refusal(message: str, shown: str) -> Unanswered:
    """What a failure of `az` means.

    Args:
        message: what it wrote on standard error; not kept.
        shown: the command, to paste.
    """
    text = message.lower()
    if any(sign in text for sign in _SIGN_IN):
        return Unanswered("az is not signed in", "Sign in, then run the doctor again:", ("az login",))
    if any(sign in text for sign in _FORBIDDEN):
        return Unanswered("the signed-in user may not read it", "Ask for the right, then try:", (shown,))
    if any(sign in text for sign in _NOT_FOUND):
        return Unanswered(
            "Azure does not find it", "Look at name, group and subscription:", (shown,), is_absent=True
        )
    return Unanswered("az failed", "See what it says:", (shown,))
