"""What our own services share besides the contract: settings, logs, names, protocols.

May import regraft.contract, pydantic, structlog and the standard library; never flask, celery,
sqlalchemy or torch.
"""
