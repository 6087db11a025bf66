"""The saga and the consumers in memory, on a virtual clock, under faults that a seed decides."""
