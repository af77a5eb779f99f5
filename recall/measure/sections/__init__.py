"""What does each section of the weekly page say? One file per section, in the order of recall/measure/weekly.py."""
