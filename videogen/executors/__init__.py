"""Who runs many tasks: processes of this machine (local.py), or workers on the nodes of a Ray cluster.

base.py: the promise that both keep; ray_executor.py: one actor a worker; ray_cluster.py: start or join a cluster;
node.py: what every node must share; chosen.py: the one that was asked for.
"""
