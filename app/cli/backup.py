"""`jobwright backup` and `jobwright restore`: the whole installation as one file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import click

from app.cli.groups import examples
from app.cli.output import echo, note
from app.cli.session import cli_actor, open_registry, open_services
from templates_lib.messages import amount

if TYPE_CHECKING:
    from app.backup.archive import Manifest, Reader
    from app.backup.settle import Settled
    from app.config import Settings
    from app.keys import KeyRing

PASSPHRASE = click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file that holds the passphrase of an encrypted backup, of at least 16 characters.",
)


@click.command(epilog=examples("jobwright backup /var/backups/jobwright", "jobwright backup jobwright.zip --without-history"))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--without-history", is_flag=True, help="Leave out ended executions and their logs.")
@click.option(
    "--with-key", is_flag=True, help="Include the key of the installation. Anyone who reads the file can then decrypt all secrets."
)
@PASSPHRASE
def backup(target: Path, without_history: bool, with_key: bool, passphrase_file: Path | None) -> None:
    """Write a backup of the installation to a file.

    TARGET is a file, which is replaced, or a folder, in which a new file is created. The service may run meanwhile: the backup holds the
    database as it was at one instant. It is verified before it gets its name. With a passphrase, it is encrypted.
    """
    from app.backup.create import Backups  # noqa: PLC0415 - `--help` does without it
    from app.backup.encryption import read_passphrase  # noqa: PLC0415 - the same

    passphrase = read_passphrase(passphrase_file) if passphrase_file else None
    with open_services(existing=True) as (services, store):
        backups = Backups(store=store, keys=services.keys, audit=services.audit, clock=services.clock, name=services.settings.name)
        path, manifest = backups.create(cli_actor(), target, history=not without_history, with_key=with_key, passphrase=passphrase)
    echo(str(path))
    note(f"{amount(manifest.documents, 'document')} of {manifest.at}, {path.stat().st_size:,} bytes. Not included:")
    for text in manifest.left_out:
        note(f"  {text}")
    if with_key:
        note("The file includes the key of the installation. Anyone who reads it can decrypt all secrets: keep it as safe as the key.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    """Which of the things that `restore` can do was chosen."""

    file: Path | None
    check: bool
    finish: bool
    roll_back: bool

    def __post_init__(self) -> None:
        """Raises UsageError unless exactly one was chosen."""
        if self.finish + self.roll_back + (self.file is not None) != 1:
            raise click.UsageError("Give either FILE, --finish or --roll-back.")
        if self.check and self.file is None:
            raise click.UsageError("--check needs FILE.")


@click.command(epilog=examples("jobwright restore jobwright.zip --check", "jobwright restore jobwright.zip --replace --pause-all"))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@click.option("--replace", is_flag=True, help="Replace the registry that is there. It is kept until the restored one is complete.")
@click.option("--into", metavar="DATABASE", help="Restore into this database instead of JOBWRIGHT_DATABASE.")
@click.option("--check", is_flag=True, help="Verify the file and show what it holds. Nothing is restored.")
@click.option("--pause-all", is_flag=True, help="Pause every job that starts by itself, until somebody resumes it.")
@click.option("--with-key", is_flag=True, help="Write the key in the backup to the data folder, if no key is there.")
@click.option("--force", is_flag=True, help="Restore although nodes are online or disk space seems short.")
@click.option("--finish", is_flag=True, help="Complete a restore that was stopped.")
@click.option("--roll-back", is_flag=True, help="Revert a restore that was stopped.")
@PASSPHRASE
def restore(
    file: Path | None, check: bool, finish: bool, roll_back: bool, passphrase_file: Path | None, **wishes: str | bool | None
) -> None:
    """Restore an installation from a backup.

    Stop all processes of Jobwright first. The database must be empty, unless --replace is given. A restore starts no run: executions that
    waited or ran in the backup are ended, and scheduled times from the backup until the next start are skipped.
    """
    from app.backup.restore import Restores, Wishes  # noqa: PLC0415 - `--help` does without it
    from app.clock import SystemClock  # noqa: PLC0415 - the same

    choice, into = _Choice(file=file, check=check, finish=finish, roll_back=roll_back), wishes.pop("into")
    if choice.check and file is not None:
        with _opened(file, passphrase_file) as reader:
            _check(reader)
        return
    with_key = bool(wishes.pop("with_key"))
    with open_registry(restoring=True, database=cast("str | None", into)) as (store, settings):
        if roll_back:
            Restores(store, SystemClock(), _keys(settings)).roll_back()
            echo("The restore was reverted. The database is as it was before.")
        elif file is None:
            _print_settled(Restores(store, SystemClock(), _keys(settings)).finish(cli_actor()))
        else:
            with _opened(file, passphrase_file) as reader:
                keys = _with_key_of(reader, settings) if with_key else _keys(settings)
                asked = Wishes(**{name: bool(value) for name, value in wishes.items()})
                _print_settled(Restores(store, SystemClock(), keys).restore(cli_actor(), reader, asked, note))


@contextmanager
def _opened(file: Path, passphrase_file: Path | None) -> Iterator[Reader]:
    """Yields the reader of a backup, encrypted or not."""
    from app.backup.archive import Reader  # noqa: PLC0415 - `--help` does without it
    from app.backup.encryption import DecryptingReader, is_encrypted, read_passphrase  # noqa: PLC0415 - the same

    with file.open("rb") as stream:
        if not is_encrypted(stream):
            yield Reader(stream)
        elif passphrase_file is None:
            raise click.UsageError("This backup is encrypted: --passphrase-file is required.")
        else:
            yield Reader(cast("IO[bytes]", DecryptingReader(stream, read_passphrase(passphrase_file))))


def _check(reader: Reader) -> None:
    from app.backup.restore import check_version  # noqa: PLC0415 - `--help` does without it

    check_version(reader.manifest)
    reader.verify()
    _print_manifest(reader.manifest)


def _print_manifest(manifest: Manifest) -> None:
    echo(f"Backup of {manifest.installation or manifest.database}, {manifest.at}, by version {manifest.version}: intact.")
    for part in manifest.parts:
        if part.documents:
            echo(f"  {part.name}: {part.documents:,}")
    echo(f"{amount(manifest.documents, 'document')}, {manifest.size:,} bytes. Not included:")
    for text in manifest.left_out:
        echo(f"  {text}")


def _print_settled(settled: Settled) -> None:
    echo("Restored.")
    for count, text in (
        (settled.lost, "executions that ran at the time of the backup have failed"),
        (settled.cancelled, "executions that waited were cancelled"),
        (settled.given_up, "records had notifications or followers to start, which were given up"),
        (settled.jobs, "jobs skip their scheduled times until the next start, or wait until somebody resumes them"),
    ):
        if count:
            echo(f"  {text}: {count:,}")


def _keys(settings: Settings) -> KeyRing:
    from app.keys import KeyRing, load_key  # noqa: PLC0415 - `--help` does without it

    return KeyRing(load_key(settings.secret_key, settings.data_path, make=False), settings.old_secret_keys)


def _with_key_of(reader: Reader, settings: Settings) -> KeyRing:
    """Writes the key in the backup to the data folder, and returns the keys to use. Raises UsageError if that makes no sense."""
    from app.keys import keep_key  # noqa: PLC0415 - `--help` does without it

    held = reader.key()
    if held is None:
        raise click.UsageError("--with-key: the backup holds no key.")
    if settings.secret_key:
        raise click.UsageError("--with-key: JOBWRIGHT_SECRET_KEY is set, so a key in the data folder would not be used.")
    note(f"The key was written to {keep_key(held.current, settings.data_path)}.")
    if held.earlier:
        note(
            "The backup also holds earlier keys (key.json): add them to JOBWRIGHT_OLD_SECRET_KEYS to verify old events of the audit trail."
        )
    return _keys(settings)
