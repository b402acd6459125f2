"""What a stand-alone simulator prints when it listens (pure)."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class AnnouncedHub:
    """What a client needs for one hub."""

    name: str
    connection_string: str | None
    """`None` if tokens are expected for a namespace."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a client needs."""

    url: str
    hubs: tuple[AnnouncedHub, ...]
    ca_file: Path | None
    """The authority to trust, if the certificate is self-made."""

    def json(self) -> str:
        """One line for programs."""
        return json.dumps(
            {
                "ready": True,
                "url": self.url,
                "hubs": [{"name": hub.name, "connectionString": hub.connection_string} for hub in self.hubs],
                "caFile": str(self.ca_file) if self.ca_file else None,
            }
        )

    def text(self) -> str:
        """For a terminal."""
        trust = f" --cacert '{self.ca_file}'" if self.ca_file else ""
        tls = (
            f"  CA certificate     {self.ca_file}"
            if self.url.startswith("https")
            else "  Microsoft's SDKs use HTTPS only: start the simulator with --tls for them."
        )
        hubs = "\n".join(
            f"  Hub name           {hub.name}\n"
            f"  Connection string  {hub.connection_string or 'that of the namespace'}"
            for hub in self.hubs
        )
        return f"""\
Notification Hubs simulator on {self.url} (Ctrl-C stops it)

{hubs}
{tls}

Show the captured pushes; let the next two requests fail:
  curl -s{trust} {self.url}/simulator/pushes
  curl{trust} {self.url}/simulator/faults -d '{{"kind": "status", "status": 503, "times": 2}}'
"""
