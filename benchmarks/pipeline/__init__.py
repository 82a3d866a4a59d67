"""Time of a run and of a query, and success of the whole pipeline on simulated tables."""
