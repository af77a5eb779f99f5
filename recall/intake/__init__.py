"""How do other people's files become our rows, with nothing lost and nothing silent?"""
