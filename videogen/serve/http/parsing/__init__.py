"""From the bytes of a request to checked fields.

bodies.py           a body as it arrives, and strict JSON
multipart.py        the parts of a form as they arrive
forms.py            a form: text fields and at most one file
schema.py           RequestSchema: checks requests, and is published in the OpenAPI document
request_schemas.py  the schemas of all requests, and the GenerationParams that they make
"""
