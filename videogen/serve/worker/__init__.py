"""The model process: imports torch, and does one thing at a time.

worker.py             the process: reads messages, makes one latent frame of each stream in turn
ray_actor.py          the process in a Ray cluster
active_stream.py      a stream inside the process, and how far it may run ahead of real time
progress_prior.py     a prior that reports which tokens are decided
model_description.py  what the web process needs to know of the model
"""
