"""The HTTP server.

app.py                   all routes; begin here
app_context.py           what every handler reads: engine, access, schemas, page
errors.py                every error as clients see it
server.py                uvicorn with our limits and shutdown
tls.py                   a certificate and its key
connections.py           how many connections there may be
connection_protocol.py   uvicorn's protocols, with time limits and clear errors
request_log.py           middleware: an id and a log record for each request
body_drain.py            middleware: reads the rest of a body that was answered early
root_path.py             middleware: a path prefix behind a proxy
streaming_response.py    responses of unknown length
byte_ranges.py           files, whole or in part
page_files.py            the files of the page
routes/                  handlers
parsing/                 bodies, forms and fields of requests
access/                  host names, origins, tokens, logins
"""
