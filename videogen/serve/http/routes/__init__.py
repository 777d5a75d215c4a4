"""Handlers, one file for each group of paths.

videos.py            /v1/videos
streams.py           /v1/streams
realtime.py          /v1/realtime/video, over WebSocket
login.py             /login and /logout
metrics.py           /metrics
openapi.py           /openapi.json
response_schemas.py  the schemas of responses, for openapi.py
"""
