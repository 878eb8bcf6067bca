def sweep(o): pass
