"""What does a person type, and what do we answer?"""
