"""A grocer's shop: which products will this household buy next?"""
