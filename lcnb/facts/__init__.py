"""Facts about machines that the API cannot hold: tags, owner, note, protection, expiry.

They are in one CSV file per account, which is made to be committed to git.
"""
