"""The merchants' side of the tables, one module for each subject.

Every read goes through `db.tenancy.scoped`; a function takes the tenant from the key, never from
a request's body. May import core, db and regraft.contract.
"""
