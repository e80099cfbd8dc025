"""The Xet (CAS) protocol under `/cas`: what `hf_xet` and its relatives speak.

`tokens` who may do what for an hour | `uploads` xorbs and shards in | `downloads` reconstructions,
data links and dedup answers out | `routes` every address, with the spellings of older clients.
"""
