"""What the provider has: its records and their fields, one function for each endpoint, and flows that read listings.

Imports the ground floor only.
"""
