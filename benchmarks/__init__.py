"""Campaigns and measurements that run the whole service; no part of the product imports this."""
