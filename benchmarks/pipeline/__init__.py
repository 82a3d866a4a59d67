"""Time of a run and of a question, and the success of the whole pipeline on simulated tables."""
