"""What `make bench` measures: functions that return rows of plain values."""
