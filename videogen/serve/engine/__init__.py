"""The engine: everything the server does for a stream or a job outside the model process.

engine.py          Engine: admits requests, owns all streams and jobs; begin here
stream.py          one stream, from its request to its end
video_job.py       a job: a stream of fixed length whose mp4 is kept as a file
job_store.py       what is kept of jobs: nothing, or all of it in the folder of --state
job_database.py    the SQLite file in that folder
restore.py         jobs of an earlier server
validation.py      checks of a request, and warnings about it
replicas.py        all model processes: started, restarted, and what becomes of the work of one that ends
replica.py         one model process and its streams
placement.py       which replica gets a stream
scheduler.py       which streams a model process works on, and which wait
retention.py       which finished streams and jobs are dropped, and which idle stream makes room
supervisor.py      keeps a model process running
launcher.py        model processes of this machine
ray_launcher.py    model processes in a Ray cluster
broadcast.py       encodes the frames of a stream once for all viewers
fanout.py          a queue for each viewer
events.py          what viewers of a preview receive besides frames
usage.py           counters of a stream and of the server
engine_context.py  what all streams of a replica share
"""
