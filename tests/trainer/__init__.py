"""Training runs from files: `scriptc train`, what it leaves, and what it survives."""
