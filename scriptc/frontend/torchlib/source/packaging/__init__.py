"""Version numbers: packages compare the versions of others, to choose between forms of their own code."""
