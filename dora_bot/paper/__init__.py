"""A Kalshi-compatible exchange to trade on without an account. The bot never imports this package."""
