"""OpenStack's Object Storage API (Swift), on the data plane's port under /v1/AUTH_<project id> and /info.

Public documents: "Object Storage API" of the OpenStack API references, and "Middleware" in Swift's administrator documentation, for
each of: large objects, symlinks, versioning, TempURL, FormPost, bulk operations, static web, quotas, container ACLs.

One set of objects with S3: an account is a project, a container a bucket (one that Swift made is found within its project only; S3
reaches it by its name with a key of that project, or as `<project's short name>:<container>`), a version a version. What S3 keeps of
an object (type, headers, metadata, encryption, lock, tags) Swift keeps and shows as well, and the bucket's policy denies here too.

    app.py        one request: address, token, route, errors, CORS      call.py      what handlers are given, and may they
    acls.py       X-Container-Read and -Write                           headers.py   metadata in and out, limits, conditions
    accounts.py containers.py                                           listings.py  JSON, XML and text
    found.py      an object found: version, properties, bytes           reading.py   GET and HEAD
    writing.py    what every write is made of                           objects.py   PUT, POST, DELETE
    copying.py    COPY, and an older version made the object again      history.py   X-Versions-Enabled: the bucket's own versioning
    large.py      static and dynamic large objects, read                manifests.py static ones, written and deleted
    symlinks.py   X-Symlink-Target                                      versions.py  X-Versions-Location and X-History-Location
    tempurl.py formpost.py bulk.py staticweb.py                         info.py      what is served, for clients

Roles: who may look at the project's things (reader) reads; a member writes, sees keys and ACLs. A ResellerAdmin reaches all accounts.
A token of another project, or of a custom role, does what an ACL of the container gives it.
"""
