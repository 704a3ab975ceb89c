"""What the provider offers: its records and their fields, one function per endpoint, and flows that read listings.

Imports the ground floor only.
"""
