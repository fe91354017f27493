"""canary verify: the ten points a person checks of each window the canary traded (S2)."""
