"""Lightning callbacks: clock, growth, hooks, checkpoints, records, snapshots."""
