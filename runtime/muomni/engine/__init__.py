"""How replies come about."""
