"""OpenStack's Identity API v3 (Keystone), under /identity/v3, for unmodified clients.

Public documents: "Identity API v3" of the OpenStack API references, and its extensions OS-EC2 and s3tokens.

What is whose: a Keystone *user* is a user of the box, called by the login or else the e-mail; a *project* is a project; an
*application credential* is an API token of the portal (`cbx_<id>_<secret>`); an *EC2 credential* is an access key. The roles reader,
member and admin are the house's; administrators of the box hold `admin`, and its support `reader`, on the system and the domain
`Default`, and reach every project. Custom roles (ResellerAdmin is there from the start) can be granted in projects.
There are no groups, trusts or federation: their addresses answer 404. Services, endpoints and regions are those of the box, read-only.

A request walks: `cloudbox.common.dialect` (token to standing) → a view → `cloudbox.common.fields` → one verb → `render` or `errors`.
`methods` reads the many ways in which POST /v3/auth/tokens says who one is.

Sign-in: who has a second factor needs the methods password and totp, together or one after the other with the receipt that the first
answer gives (401 with `Openstack-Auth-Receipt`), or an application credential. Wrong tries count together with the portal's.
`GET /auth/v1.0` is Swift's first way to sign in (X-Auth-User: project:user): it is always there, since it guards the same password with
the same counters; it refuses who has a second factor, and takes the text of an API token as the key.
"""
