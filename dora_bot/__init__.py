"""dora_bot: a market maker for Kalshi prediction markets. Start reading at `dora_bot.main`."""

__version__ = "0.1.0"
