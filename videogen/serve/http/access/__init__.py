"""Who may use the server.

security.py         Host, Origin and token checks before any handler
login_sessions.py   logins of browsers
token_throttle.py   delays after wrong tokens
trusted_proxies.py  middleware: the client and the scheme behind a proxy
"""
