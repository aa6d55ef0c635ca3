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

Deliberately different from what some clients and test suites expect:
    names of objects         any UTF-8 is a name, control characters too; only bytes that are no UTF-8 are "Couldn't parse the URI"
    metadata beyond ASCII    comes back byte for byte as it was sent; it is neither re-coded to ISO 8859-1 nor wrapped (RFC 2047)
    the bucket's owner       needs no policy: one that allows others under a condition takes nothing from the owner (only a Deny does)
    tags sent by another     a policy's s3:RequestObjectTag is judged by the request's own tags, and there is no allowance without them
    a part listed twice      in CompleteMultipartUpload, one after the other: the last counts (Amazon's answer is InvalidPartOrder)
    Ceph's own extensions    ?usage of an account and ?read-stats of a bucket: usage is in the portal and in metrics
All but the last but one fail tests of ceph/s3-tests, as do ten that spoil a header before botocore signs, which puts it right again.
"""
