"""Stand-ins for Azure on a developer's machine. Nothing that is deployed imports this package."""
