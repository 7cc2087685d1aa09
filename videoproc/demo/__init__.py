"""The demonstration: a made clip, a client of the public interfaces, the checks on both files and the table.

It knows the service as any client does, over HTTP and the WebSocket; only files on this machine it reads by itself.
"""
