"""Who am I, for a while, and with which keys: the parts of AWS's STS and IAM that clients need, on the store's port.

The AWS query protocol: a signed POST (or GET) to "/" with `Action`, answered in XML. An account is a project (its id in hexadecimal), a
user is a user (named by the e-mail address), a role is a role in the project: `arn:aws:iam::<project>:role/reader`.

    STS   GetCallerIdentity, GetSessionToken, AssumeRole (into the same or a lesser role of one's own project), GetAccessKeyInfo
    IAM   GetUser, ListUsers (one's project), ListAccessKeys, CreateAccessKey, UpdateAccessKey, DeleteAccessKey (one's own)

Differences on purpose: policies of a session (`Policy`, `PolicyArns`) are refused, not passed over; temporary credentials manage no keys.
Public documents: "AWS Security Token Service API Reference" and "IAM API Reference" (version dates 2011-06-15 and 2010-05-08).

    app.py       the request: signature, action, answer or error
    actions.py   what each action does, on identity's verbs
"""
