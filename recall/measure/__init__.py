"""What did it bring, and what did it cost?"""
