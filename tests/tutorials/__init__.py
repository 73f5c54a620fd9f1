"""The tutorials of docs/tutorials: their commands are run, and what they print is what the pages say."""
