"""Which version of recall is this?"""

__version__ = "0.1.0"
