"""What the shipped runbooks compute: prices, keys, health, fleets, passwords."""
