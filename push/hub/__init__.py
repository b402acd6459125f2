"""Direct Send to Notification Hubs: bodies, headers, signatures, and one POST."""
