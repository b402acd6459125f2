"""What `registrar/`, `push/` and `health/` share: clock, database access, HTTP answers, telemetry."""
