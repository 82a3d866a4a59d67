"""Simulated tasks carried out in closed loop, undisturbed and disturbed, beside open loop."""
