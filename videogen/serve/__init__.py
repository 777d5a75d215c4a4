"""The studio: a model process, an engine in front of it, and an HTTP server with its page.

Begin with `engine/engine.py` (streams and jobs) or `http/app.py` (all routes).

engine/   streams, jobs, scheduling, and the supervision of the model process
worker/   the model process
media/    H.264 in fragmented mp4
uploads/  clips and images of clients, read in a process with limits
http/     routes, request parsing, access, connections
page/     the files of the page

Read by all of them: `requests.py` (GenerationParams), `model_info.py` (facts about the model), `errors.py`
(errors for clients), `limits.py`, `messages.py` (between processes), `child_process.py`, `log.py`.
No import of `videogen.serve` outside `worker/` imports torch.
"""
