"""How does one pass over due users work? Plain functions of (store, providers, journey, now)."""
