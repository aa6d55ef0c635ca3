"""The S3 dialect: one package, run inside the data plane.

app.py            one request: authenticate, find the bucket, route, render
call.py           what a handler is given: parsed request, who asks, the bucket; and its questions (may they? which version?)
auth.py           signature -> who                      signing.py, chunked.py, checksums.py   bodies and what is signed about them
router.py         method and subresource -> handler     errors.py   meaning -> code and status
xml.py            XML in and out                        headers.py  headers <-> properties, wishes, conditions
buckets.py objects.py uploads.py listings.py            the handlers
configuration.py object_config.py acl_wire.py           configurations of buckets and objects
forms.py post.py                                        uploads by a browser's form
website.py                                              buckets as static websites
"""
