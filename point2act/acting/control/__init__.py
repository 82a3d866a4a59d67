"""Control of an arm by constraints: quadratic programs, jerk-limited motion, and a filter that limits it."""
