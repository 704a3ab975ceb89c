"""How an account is changed: ChangeSets are built, previewed, confirmed, applied and recorded."""
