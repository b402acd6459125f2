"""The command line: takes the C# sample's device tokens over into this app's database.

Connection strings come from the environment, never from the command line, where other users of the machine
could read them: `MongoDbConnectionString` and `DbName` are the app's own settings and name the target;
`MigrateSourceConnectionString` names the source where that is another server.
"""

import json
import logging
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Annotated, Protocol

import typer
from pymongo import MongoClient, errors
from pymongo.database import Database
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from common import entra_id, mongodb
from common.access_tokens import AccessTokens
from common.clock import SystemClock
from common.token_error import TokenError
from migrate.adoption import AdoptionStore
from migrate.earlier_runs import COLLECTION_NAME as EARLIER_RUNS
from migrate.earlier_runs import EarlierRuns
from migrate.mover import Mover
from migrate.patience import Patience
from migrate.report import Report
from migrate.sample_collection import SampleCollection
from migrate.sample_documents import COLLECTION_NAME as SOURCE_COLLECTION
from migrate.sample_documents import Rules
from models.database_sign_in import token_sign_in
from models.errors import ConfigurationError, ServiceError
from models.identity import MAXIMUM_TTL_SECONDS, MINIMUM_TTL_SECONDS
from models.known_causes import Cause, is_key_vault_reference
from registrar.store import COLLECTION_NAME as TARGET_COLLECTION

DONE, BROKE_OFF, WRONG_USE, DONE_WITH_LOSSES, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes."""

DEFAULT_TTL_SECONDS = 2_592_000
"""30 days: an app that is opened once a month keeps ringing. Firebase, too, calls a token stale after a
month."""

_GO_ON = "Run it again: it goes on where it stopped."
_TIMEOUT_SECONDS = 10.0
"""Of one piece of work with the target; no phone waits for it."""
_SIGN_IN_SECONDS = 30.0
"""For a token of the developer's own sign-in: 'az' takes seconds to start."""
_WORKERS = 8

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help="Take the C# sample's device tokens over into this app's database.")
def migrate(  # noqa: PLR0913 - one for each option
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    ttl_seconds: Annotated[
        int,
        typer.Option(
            min=MINIMUM_TTL_SECONDS,
            max=MAXIMUM_TTL_SECONDS,
            help="How long what is taken over lives; a Teams user's a day at most.",
        ),
    ] = DEFAULT_TTL_SECONDS,
    source_database: Annotated[
        str | None, typer.Option(help="The sample's database; DbName if left out.")
    ] = None,
    source_collection: Annotated[str, typer.Option(help="Its collection.")] = SOURCE_COLLECTION,
    maximum_devices: Annotated[
        int, typer.Option(min=1, max=1_000, help="MaxDevicesPerUser of the app.")
    ] = 20,
    batch_size: Annotated[int, typer.Option(min=1, max=5_000, help="Users a batch.")] = 500,
    details: Annotated[bool, typer.Option("--details", help="List skipped devices one by one.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON on stdout.")] = False,
) -> None:
    """Run, report, and exit with one of the codes above."""
    logging.getLogger("pymongo").setLevel(logging.INFO)  # at DEBUG it logs device tokens
    report = Report(dry_run=dry_run)
    rules = Rules(ttl_seconds, maximum_devices)
    try:
        with ExitStack() as open_clients:
            databases = _Databases(os.environ, open_clients)
            source = databases.source(source_database, source_collection)
            with ThreadPoolExecutor(_WORKERS, thread_name_prefix="migrate") as pool:
                mover = databases.mover(pool, rules, dry_run=dry_run)
                _run(mover, source, batch_size, report, quiet=as_json)
        code = DONE_WITH_LOSSES if report.lost else DONE
    except ConfigurationError as error:
        report.error, code = error.detail, WRONG_USE
    except ServiceError as error:
        report.error, code = f"{error.detail} {_GO_ON}", BROKE_OFF
    except KeyboardInterrupt:
        report.error, code = f"Interrupted. {_GO_ON}", INTERRUPTED
    _tell(report, as_json=as_json, details=details)
    raise typer.Exit(code)


class _Databases:
    """Source and target, as the environment names them."""

    def __init__(self, environment: Mapping[str, str], open_clients: ExitStack) -> None:
        self._target_uri = _needed(environment, "MongoDbConnectionString")
        self._name = _needed(environment, "DbName")
        self._source_uri = _given(environment, "MigrateSourceConnectionString") or self._target_uri
        self._open_clients = open_clients
        self._tokens: dict[str, AccessTokens] = {}
        """By scope."""
        self._patience = Patience(SystemClock())

    def source(self, database: str | None, collection: str) -> SampleCollection:
        """The sample's collection."""
        same = self._source_uri == self._target_uri
        name = "MongoDbConnectionString" if same else "MigrateSourceConnectionString"
        client = self._client(self._source_uri, name)
        by_identity = token_sign_in(self._source_uri) is not None
        named = _named("--source-database", client, database) if database else self._database(client)
        found = _named("--source-collection", named, collection)
        return SampleCollection(found, self._patience, by_identity=by_identity)

    def mover(self, pool: ThreadPoolExecutor, rules: Rules, *, dry_run: bool) -> Mover:
        """What moves devices into the target."""
        target = self._database(self._client(self._target_uri, "MongoDbConnectionString"))
        tokens = self._tokens_for(self._target_uri, "MongoDbConnectionString")
        work = mongodb.Work(mongodb.Timeouts(_TIMEOUT_SECONDS), tokens=tokens)
        store = AdoptionStore(target[TARGET_COLLECTION], work)
        earlier = EarlierRuns(target[EARLIER_RUNS], work, read_only=dry_run)
        adopt = store.foresee if dry_run else store.adopt
        return Mover(adopt, earlier, pool, self._patience, rules)

    def _client(self, uri: str, name: str) -> MongoClient[mongodb.Document]:
        timeouts = mongodb.Timeouts(_TIMEOUT_SECONDS)
        tokens = self._tokens_for(uri, name)
        client = mongodb.make_client(uri, timeouts, name="call-push-migrate", tokens=tokens)
        if isinstance(client, Cause):
            raise mongodb.error_of(client.of(name))
        self._open_clients.callback(client.close)
        return client

    def _database(self, client: MongoClient[mongodb.Document]) -> Database[mongodb.Document]:
        return _named("DbName", client, self._name)

    def _tokens_for(self, uri: str, name: str) -> AccessTokens | None:
        """The tokens of the developer who is signed in to Azure, where the connection string asks for one."""
        sign_in = token_sign_in(uri)
        if sign_in is None:
            return None
        tokens = self._tokens.get(sign_in.scope)
        if tokens is None:
            tokens = entra_id.tokens_of_developer(sign_in.scope, SystemClock())
            try:
                tokens.prepare(_SIGN_IN_SECONDS)
            except TokenError as error:
                raise mongodb.error_of(error.cause.of(name)) from None
            self._tokens[sign_in.scope] = tokens
        return tokens


def _given(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "").strip()
    if is_key_vault_reference(value):
        raise ConfigurationError(
            f"{name}: it is a Key Vault reference, which only Azure resolves; set the secret's own value."
        )
    return value


def _needed(environment: Mapping[str, str], name: str) -> str:
    value = _given(environment, name)
    if not value:
        raise ConfigurationError(f"Set {name} in the environment, as in the app's settings.")
    return value


class _Container[Part](Protocol):
    """A client or a database."""

    def __getitem__(self, name: str, /) -> Part: ...


def _named[Part](origin: str, whole: _Container[Part], name: str) -> Part:
    """The database or collection of that name; `origin` is the setting or option that names it.

    Raises:
        ConfigurationError: MongoDB takes no such name.
    """
    try:
        return whole[name]
    except errors.InvalidName:
        raise ConfigurationError(
            f"{origin}: MongoDB takes no such name; copy it from the database."
        ) from None


def _run(mover: Mover, source: SampleCollection, batch_size: int, report: Report, *, quiet: bool) -> None:
    """Survey and move, with a progress bar on stderr if that is a terminal.

    Raises:
        ConfigurationError: the source is empty.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as progress:
        surveying = progress.add_task("Looking through the users", total=None)
        users = mover.survey(source.documents, lambda: progress.advance(surveying))
        if users == 0:
            raise ConfigurationError(source.explain_empty())
        moving = progress.add_task("Taking their devices over", total=users)
        mover.move(source.documents, batch_size, report, lambda count: progress.advance(moving, count))


def _tell(report: Report, *, as_json: bool, details: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(report.as_json(with_details=details)) + "\n")
        return
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    if report.users:
        for table in report.as_tables(with_details=details):
            console.print(table)
    if report.error:
        Console(stderr=True, highlight=False).print(
            f"[bold red]Broke off.[/] {escape(report.error)}", soft_wrap=True
        )
    elif report.dry_run:
        console.print("Nothing was changed: this was a dry run.")
