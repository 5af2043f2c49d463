"""What `make check-gpu` checks: functions that yield findings, each run in a process of its own."""
