"""The whole way, over real HTTP and the webhook, through the real worker."""
