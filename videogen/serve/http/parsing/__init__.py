"""From the bytes of a request to checked fields.

bodies.py           a body as it arrives, and strict JSON
multipart.py        the parts of a form as they arrive
forms.py            a form: text fields and at most one file
fields.py           tables of fields that check requests and are published as schemas
request_schemas.py  the fields of every request, and the request that they make
"""
