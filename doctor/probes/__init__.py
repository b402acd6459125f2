"""Ask and read: the hub, the database, the issuer, Azure, settings files. What it means is for
`doctor.checks`."""
