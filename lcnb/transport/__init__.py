"""How the provider is asked: pacing, sending, judging responses, retries and the shared rate budget.

Imports the ground floor and `api`.
"""
