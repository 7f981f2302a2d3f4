"""The planner: facts and wishes in, a plan out. Pure: no clock, no chance, no file, no socket, no log."""
