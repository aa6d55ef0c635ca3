"""Every route of every kind, probed as anybody: nobody, a stranger, a reader, support, and those who may.

One table says which methods a route takes and who is the least that may use each: `open` (anybody), `self` (whoever is
signed in, about their own things), `reader`, `member`, `admin` (of the project), `look` (support of the box), `box`
(administrators). A new route needs a line here; a route without one, and a line without a route, fail.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.db import transaction
from django.test import Client

from cloudbox.common.models import Event
from tests.fixtures import machine_home, plain_static, world  # noqa: F401
from tests.operations import ids_of, operations
from tests.routes import http_routes, websocket_routes
from tests.world import World

TABLE = """
healthz                                                                      GET open

                                                                             GET self
palette                                                                      GET self
sign-in                                                                      GET open    POST open
sign-in/passkey                                                              GET open    POST open
sign-in/second-factor                                                        GET open    POST open
sign-in/suspended                                                            GET open
sign-out                                                                     GET open    POST open
sign-up                                                                      GET open
reset                                                                        GET open
account/confirm                                                              GET self    POST self
account/confirm/code                                                         GET self    POST self
account/confirm/passkey                                                      GET self    POST self
account/profile                                                              GET self    POST self
account/appearance                                                           GET self    POST self
account/sessions                                                             GET self    POST self
account/security                                                             GET self
account/security/password                                                    GET self    POST self
account/security/password/set                                                GET self    POST self
account/security/app                                                         GET self    POST self
account/security/app/remove                                                  GET self    POST self
account/security/codes                                                       GET self
account/security/codes/new                                                   GET self    POST self
account/security/codes/download                                              GET self
account/security/passkeys                                                    GET self
account/security/passkeys/new                                                GET self    POST self
account/security/passkeys/<int:pk>                                           GET self    POST self
account/security/passkeys/<int:pk>/remove                                    GET self    POST self

p/<slug:project>                                                             GET reader
p/<slug:project>/instances                                                   GET reader
p/<slug:project>/instances.csv                                               GET reader
p/<slug:project>/instances/views                                             POST self
p/<slug:project>/instances/views/<uuid:id>/delete                            POST self
p/<slug:project>/instances/new                                               GET reader  POST member
p/<slug:project>/instances/bulk                                              POST member
p/<slug:project>/instances/<uuid:id>                                         GET reader
p/<slug:project>/instances/<uuid:id>/do/<slug:key>                           POST member
p/<slug:project>/instances/<uuid:id>/menu                                    GET reader
p/<slug:project>/instances/<uuid:id>/screen.png                              GET reader
p/<slug:project>/instances/<uuid:id>/console                                 GET reader
p/<slug:project>/instances/<uuid:id>/open-console                            POST member
p/<slug:project>/instances/<uuid:id>/log                                     GET reader
p/<slug:project>/instances/<uuid:id>/log.txt                                 GET reader
p/<slug:project>/instances/<uuid:id>/metrics                                 GET reader
p/<slug:project>/instances/<uuid:id>/networking                              GET reader  POST member
p/<slug:project>/instances/<uuid:id>/guest                                   GET reader  POST member
p/<slug:project>/instances/<uuid:id>/hours                                   GET reader  POST member
p/<slug:project>/instances/<uuid:id>/nics/attach                             POST member
p/<slug:project>/instances/<uuid:id>/nics/<uuid:port_id>/detach              POST member
p/<slug:project>/instances/<uuid:id>/change                                  GET reader  POST member
p/<slug:project>/instances/<uuid:id>/activity                                GET reader
p/<slug:project>/instances/<uuid:id>/settings                                GET reader  POST member
p/<slug:project>/instances/<str:name>                                        GET reader
p/<slug:project>/images                                                      GET reader
p/<slug:project>/images.csv                                                  GET reader
p/<slug:project>/images/new                                                  GET reader  POST member
p/<slug:project>/images/<uuid:id>                                            GET reader  POST member
p/<slug:project>/images/<uuid:id>/share                                      POST member
p/<slug:project>/images/<uuid:id>/export                                     POST member
p/<slug:project>/images/<uuid:id>/exports/<uuid:export_id>/forget            POST member
p/<slug:project>/images/<uuid:id>/members/<uuid:project_id>/withdraw         POST member
p/<slug:project>/images/<uuid:id>/<slug:key>                                 POST member
p/<slug:project>/backups                                                     GET reader
p/<slug:project>/backups.csv                                                 GET reader
p/<slug:project>/backups/new                                                 GET reader  POST member
p/<slug:project>/backups/<uuid:id>                                           GET reader
p/<slug:project>/backups/<uuid:id>/restore                                   GET reader  POST member
p/<slug:project>/backups/<uuid:id>/files                                     GET member
p/<slug:project>/backups/<uuid:id>/file                                      GET member
p/<slug:project>/backups/<uuid:id>/rename                                    POST member
p/<slug:project>/backups/<uuid:id>/do/<slug:key>                             POST member
p/<slug:project>/backup-vaults                                               GET reader
p/<slug:project>/backup-vaults/new                                           GET reader  POST member
p/<slug:project>/backup-vaults/<uuid:id>                                     GET reader
p/<slug:project>/backup-vaults/<uuid:id>/rename                              POST member
p/<slug:project>/backup-vaults/<uuid:id>/do/<slug:key>                       POST member
p/<slug:project>/backup-schedules                                            GET reader
p/<slug:project>/backup-schedules/new                                        GET reader  POST member
p/<slug:project>/backup-schedules/<uuid:id>                                  GET reader  POST member
p/<slug:project>/backup-schedules/<uuid:id>/do/<slug:key>                    POST member
p/<slug:project>/server-groups                                               GET reader  POST member
p/<slug:project>/server-groups/<uuid:id>/delete                              POST member
p/<slug:project>/server-groups/<uuid:id>/<slug:key>                          POST member
p/<slug:project>/volumes                                                     GET reader
p/<slug:project>/volumes.csv                                                 GET reader
p/<slug:project>/volumes/new                                                 GET reader  POST member
p/<slug:project>/volumes/<uuid:id>                                           GET reader
p/<slug:project>/volumes/<uuid:id>/attach                                    POST member
p/<slug:project>/volumes/<uuid:id>/grow                                      POST member
p/<slug:project>/volumes/<uuid:id>/rename                                    POST member
p/<slug:project>/volumes/<uuid:id>/do/<slug:key>                             POST member
p/<slug:project>/volumes/<uuid:id>/snapshot                                  POST member
p/<slug:project>/volumes/<uuid:id>/retype                                    POST member
p/<slug:project>/volumes/<uuid:id>/offer                                     POST member
p/<slug:project>/volumes/accept                                              GET reader  POST member
p/<slug:project>/snapshots                                                   GET reader
p/<slug:project>/snapshots.csv                                               GET reader
p/<slug:project>/snapshots/<uuid:id>/files                                   GET member
p/<slug:project>/snapshots/<uuid:id>/file                                    GET member
p/<slug:project>/snapshots/<uuid:id>/do/<slug:key>                           POST member
p/<slug:project>/instances/<uuid:id>/disks                                   GET reader
p/<slug:project>/instances/<uuid:id>/disks/attach                            POST member
p/<slug:project>/instances/<uuid:id>/disks/snapshot                          POST member
p/<slug:project>/instance-snapshots/<uuid:id>/do/<slug:key>                  POST member
p/<slug:project>/instances/<uuid:id>/disks/<uuid:volume_id>/detach           POST member
p/<slug:project>/networks                                                    GET reader
p/<slug:project>/networks.csv                                                GET reader
p/<slug:project>/networks/new                                                GET reader  POST member
p/<slug:project>/networks/<uuid:id>                                          GET reader  POST member
p/<slug:project>/networks/<uuid:id>/delete                                   POST member
p/<slug:project>/routers                                                     GET reader
p/<slug:project>/routers.csv                                                 GET reader
p/<slug:project>/routers/new                                                 GET reader  POST member
p/<slug:project>/routers/<uuid:id>                                           GET reader
p/<slug:project>/routers/<uuid:id>/attach                                    POST member
p/<slug:project>/routers/<uuid:id>/gateway                                   POST member
p/<slug:project>/routers/<uuid:id>/routes                                    POST member
p/<slug:project>/routers/<uuid:id>/rename                                    POST member
p/<slug:project>/routers/<uuid:id>/forward                                   POST member
p/<slug:project>/routers/<uuid:id>/networks/<uuid:network_id>/remove         POST member
p/<slug:project>/routers/<uuid:id>/port-forwards/<uuid:forward_id>/remove    POST member
p/<slug:project>/routers/<uuid:id>/delete                                    POST member
p/<slug:project>/load-balancers                                              GET reader
p/<slug:project>/load-balancers/new                                          GET reader  POST member
p/<slug:project>/load-balancers/<uuid:id>                                    GET reader  POST member
p/<slug:project>/load-balancers/<uuid:id>/settings                           GET reader  POST member
p/<slug:project>/load-balancers/<uuid:id>/pools/new                          GET reader  POST member
p/<slug:project>/load-balancers/<uuid:id>/pools/<uuid:pool_id>               GET reader  POST member
p/<slug:project>/load-balancers/<uuid:id>/listeners/new                      GET reader  POST member
p/<slug:project>/load-balancers/<uuid:id>/listeners/<uuid:listener_id>       GET reader  POST member
p/<slug:project>/load-balancers/<uuid:id>/do/<slug:key>                      POST member
p/<slug:project>/load-balancers/<uuid:id>/delete                             POST member
p/<slug:project>/floating-ips                                                GET reader
p/<slug:project>/floating-ips.csv                                            GET reader
p/<slug:project>/floating-ips/new                                            GET reader  POST member
p/<slug:project>/floating-ips/<uuid:id>                                      GET reader
p/<slug:project>/floating-ips/<uuid:id>/associate                            POST member
p/<slug:project>/floating-ips/<uuid:id>/describe                             POST member
p/<slug:project>/floating-ips/<uuid:id>/do/<slug:key>                        POST member
p/<slug:project>/networks/<uuid:id>/names                                     GET reader  POST member
p/<slug:project>/ports                                                        GET reader
p/<slug:project>/ports.csv                                                    GET reader
p/<slug:project>/ports/new                                                    GET reader  POST member
p/<slug:project>/ports/<uuid:id>                                              GET reader  POST member
p/<slug:project>/ports/<uuid:id>/groups                                       POST member
p/<slug:project>/ports/<uuid:id>/delete                                       POST member
p/<slug:project>/topology                                                     GET reader
p/<slug:project>/reachability                                                 GET reader
p/<slug:project>/address-groups                                               GET reader
p/<slug:project>/address-groups/new                                           GET reader  POST member
p/<slug:project>/address-groups/<uuid:id>                                     GET reader  POST member
p/<slug:project>/address-groups/<uuid:id>/delete                              POST member
p/<slug:project>/security-groups                                             GET reader
p/<slug:project>/security-groups/new                                         GET reader  POST member
p/<slug:project>/security-groups/<uuid:id>                                   GET reader  POST member
p/<slug:project>/security-groups/<uuid:id>/settings                          GET reader  POST member
p/<slug:project>/security-groups/<uuid:id>/rules/<uuid:rule_id>/remove       POST member
p/<slug:project>/security-groups/<uuid:id>/delete                            POST member
p/<slug:project>/buckets/<str:name>/o                                        GET reader
p/<slug:project>/buckets/<str:name>/o/download                               GET reader
p/<slug:project>/buckets/<str:name>/o/properties                             POST member
p/<slug:project>/buckets/<str:name>/o/tags                                   POST member
p/<slug:project>/buckets/<str:name>/o/share                                  POST reader
p/<slug:project>/buckets/<str:name>/o/restore                                POST member
p/<slug:project>/buckets/<str:name>/o/forget                                 POST member
p/<slug:project>/buckets/<str:name>/o/folder                                 POST member
p/<slug:project>/buckets/<str:name>/o/count                                  POST member
p/<slug:project>/buckets/<str:name>/o/delete                                 POST member
p/<slug:project>/buckets/<str:name>/o/copy                                   POST member
p/<slug:project>/buckets/<str:name>/o/rounds                                 POST member
p/<slug:project>/buckets/<str:name>/o/rounds/stop                            POST member
p/<slug:project>/buckets/<str:name>/o/uploads                                POST member
p/<slug:project>/buckets/<str:name>/o/uploads/sign                           POST member
p/<slug:project>/buckets/<str:name>/o/uploads/parts                          POST member
p/<slug:project>/buckets/<str:name>/o/uploads/complete                       POST member
p/<slug:project>/buckets/<str:name>/o/uploads/abort                          POST member
p/<slug:project>/buckets                                                     GET reader
p/<slug:project>/buckets.csv                                                 GET reader
p/<slug:project>/buckets/new                                                 GET reader  POST member
p/<slug:project>/buckets/<str:name>                                          GET reader
p/<slug:project>/buckets/<str:name>/overview                                 GET reader
p/<slug:project>/buckets/<str:name>/access                                   GET reader  POST member
p/<slug:project>/buckets/<str:name>/versioning                               GET reader  POST member
p/<slug:project>/buckets/<str:name>/lifecycle                                GET reader  POST member
p/<slug:project>/buckets/<str:name>/events                                   GET reader  POST member
p/<slug:project>/buckets/<str:name>/website                                  GET reader  POST member
p/<slug:project>/buckets/<str:name>/usage                                    GET reader  POST member
p/<slug:project>/buckets-usage                                               GET reader
p/<slug:project>/buckets/<str:name>/settings                                 GET reader  POST member
p/<slug:project>/buckets/<str:name>/delete                                   POST member
p/<slug:project>/buckets/<str:name>/empty                                    POST member
p/<slug:project>/buckets/<str:name>/cancel                                   POST member
p/<slug:project>/encryption-keys                                             GET reader  POST member
p/<slug:project>/encryption-keys/<uuid:id>/<slug:key>                        POST member
p/<slug:project>/instances/<uuid:id>/first-boot                              GET reader
p/<slug:project>/vpn                                                         GET reader  POST member
p/<slug:project>/vpn/<uuid:id>                                               GET reader
p/<slug:project>/vpn/<uuid:id>/revoke                                        POST member
p/<slug:project>/snippets                                                    GET reader
p/<slug:project>/snippets/new                                                GET reader  POST member
p/<slug:project>/snippets/<uuid:id>                                          GET reader  POST member
p/<slug:project>/snippets/<uuid:id>/text                                     GET reader
p/<slug:project>/snippets/<uuid:id>/delete                                   POST member
p/<slug:project>/user-data/check                                             POST reader
p/<slug:project>/keypairs                                                    GET reader
p/<slug:project>/keypairs/new                                                GET reader  POST member
p/<slug:project>/keypairs/<uuid:id>                                          GET reader
p/<slug:project>/keypairs/<uuid:id>/delete                                   POST member
p/<slug:project>/credentials                                                 GET reader
p/<slug:project>/credentials/tokens/new                                      GET reader  POST reader
p/<slug:project>/credentials/tokens/<uuid:id>/revoke                         POST self
p/<slug:project>/credentials/keys/new                                        GET reader  POST reader
p/<slug:project>/credentials/keys/<slug:id>/delete                           POST self
p/<slug:project>/members                                                     GET reader
p/<slug:project>/members/add                                                 GET reader  POST admin
p/<slug:project>/members/<uuid:id>/role                                      POST admin
p/<slug:project>/members/<uuid:id>/remove                                    POST admin
p/<slug:project>/activity                                                    GET reader
p/<slug:project>/activity.csv                                                GET reader
p/<slug:project>/settings                                                    GET reader  POST admin

admin                                                                        GET look
admin/hosts                                                                  GET look
admin/projects                                                               GET look
admin/projects.csv                                                           GET look
admin/projects/new                                                           GET look    POST box
admin/projects/<slug:slug>                                                   GET look
admin/projects/<slug:slug>/quota                                             GET look    POST box
admin/projects/<slug:slug>/members                                           GET look    POST box
admin/projects/<slug:slug>/members/<uuid:user_id>                            POST box
admin/projects/<slug:slug>/activity                                          GET look
admin/projects/<slug:slug>/suspend                                           POST box
admin/projects/<slug:slug>/resume                                            POST box
admin/users                                                                  GET look
admin/users.csv                                                              GET look
admin/users/new                                                              GET look    POST box
admin/users/<uuid:id>                                                        GET look
admin/users/<uuid:id>/suspend                                                POST box
admin/users/<uuid:id>/resume                                                 POST box
admin/users/<uuid:id>/password                                               POST box
admin/instances                                                              GET look
admin/instances.csv                                                          GET look
admin/instances/<uuid:id>/stop                                               POST box
admin/instances/<uuid:id>/delete                                             POST box
admin/store                                                                  GET look
admin/buckets                                                                GET look
admin/drives                                                                 GET look    POST box
admin/drives/<uuid:id>                                                       GET look    POST box
admin/drives/<uuid:id>/drain                                                 POST box
admin/drives/<uuid:id>/keep                                                  POST box
admin/drives/<uuid:id>/remove                                                POST box
admin/buckets.csv                                                            GET look
admin/flavors                                                                GET look
admin/flavors/new                                                            GET look    POST box
admin/flavors/<uuid:id>/retire                                               POST box
admin/flavors/<uuid:id>/restore                                              POST box
admin/external-networks                                                      GET look
admin/external-networks/new                                                  GET look    POST box
admin/external-networks/<uuid:id>/make-default                               POST box
admin/external-networks/<uuid:id>/delete                                     POST box
admin/volume-types                                                           GET look
admin/volume-types/new                                                       GET look    POST box
admin/volume-types/<uuid:id>                                                 GET look    POST box
admin/volume-types/<uuid:id>/retire                                          POST box
admin/volume-types/<uuid:id>/restore                                         POST box
admin/images                                                                 GET look
admin/images.csv                                                             GET look
admin/images/catalogue                                                       GET look
admin/images/catalogue/new                                                   GET look    POST box
admin/images/catalogue/<uuid:id>                                             GET look    POST box
admin/images/catalogue/<uuid:id>/fetch                                       POST box
admin/images/catalogue/<uuid:id>/delete                                      POST box
admin/images/<uuid:id>/deactivate                                            POST box
admin/images/<uuid:id>/reactivate                                            POST box
admin/images/<uuid:id>/delete                                                POST box
admin/audit                                                                  GET look
admin/audit/verify                                                           POST look
admin/audit.csv                                                              GET look
admin/health                                                                 GET look

api/v1/me                                                                    GET self    PATCH self
api/v1/projects                                                              GET self
api/v1/projects/<slug:project>                                               GET reader  PATCH admin
api/v1/projects/<slug:project>/quotas                                        GET reader
api/v1/projects/<slug:project>/activity                                      GET reader
api/v1/projects/<slug:project>/members                                       GET reader  POST admin
api/v1/projects/<slug:project>/members/<uuid:user_id>                        PATCH admin DELETE admin
api/v1/projects/<slug:project>/tokens                                        GET reader  POST reader
api/v1/projects/<slug:project>/tokens/<uuid:id>                              DELETE self
api/v1/projects/<slug:project>/access-keys                                   GET reader  POST reader
api/v1/projects/<slug:project>/access-keys/<str:id>                          DELETE self
api/v1/projects/<slug:project>/instances                                     GET reader  POST member
api/v1/projects/<slug:project>/instances/<uuid:id>                           GET reader  PATCH member DELETE member
api/v1/projects/<slug:project>/instances/<uuid:id>/metadata-options          GET reader  PUT member
api/v1/projects/<slug:project>/instances/<uuid:id>/consoles                  POST member
api/v1/projects/<slug:project>/instances/<uuid:id>/console-log               GET reader
api/v1/projects/<slug:project>/instances/<uuid:id>/screenshot                GET reader
api/v1/projects/<slug:project>/instances/<uuid:id>/metrics                   GET reader
api/v1/projects/<slug:project>/instances/<uuid:id>/start                     POST member
api/v1/projects/<slug:project>/instances/<uuid:id>/stop                      POST member
api/v1/projects/<slug:project>/instances/<uuid:id>/reboot                    POST member
api/v1/projects/<slug:project>/instances/<uuid:id>/reset                     POST member
api/v1/projects/<slug:project>/instances/<uuid:id>/pause                     POST member
api/v1/projects/<slug:project>/instances/<uuid:id>/resume                    POST member
api/v1/projects/<slug:project>/instances/<uuid:id>/suspend                   POST member
api/v1/projects/<slug:project>/instances/<uuid:id>/guest                     GET reader
api/v1/projects/<slug:project>/instances/<uuid:id>/password                  GET reader  POST member
api/v1/projects/<slug:project>/instances/<uuid:id>/office-hours              GET reader  PUT member  DELETE member
api/v1/projects/<slug:project>/instances/<uuid:id>/nics                      POST member
api/v1/projects/<slug:project>/instances/<uuid:id>/nics/<uuid:port_id>       DELETE member
api/v1/projects/<slug:project>/instances/<uuid:id>/resize                    POST member
api/v1/projects/<slug:project>/instances/<uuid:id>/rebuild                   POST member
api/v1/projects/<slug:project>/instances/<uuid:id>/rescue                    POST member
api/v1/projects/<slug:project>/instances/<uuid:id>/confirm-resize            POST member
api/v1/projects/<slug:project>/instances/<uuid:id>/revert-resize             POST member
api/v1/projects/<slug:project>/instances/<uuid:id>/undo-rebuild              POST member
api/v1/projects/<slug:project>/instances/<uuid:id>/drop-old-disk             POST member
api/v1/projects/<slug:project>/instances/<uuid:id>/unrescue                  POST member
api/v1/projects/<slug:project>/instances/<uuid:id>/shelve                    POST member
api/v1/projects/<slug:project>/instances/<uuid:id>/unshelve                  POST member
api/v1/projects/<slug:project>/instances/<uuid:id>/lock                      POST member
api/v1/projects/<slug:project>/instances/<uuid:id>/unlock                    POST member
api/v1/projects/<slug:project>/instances/<uuid:id>/protect                   POST member
api/v1/projects/<slug:project>/instances/<uuid:id>/unprotect                 POST member
api/v1/projects/<slug:project>/images                                        GET reader  POST member
api/v1/projects/<slug:project>/images/<uuid:id>                              GET reader  PATCH member DELETE member
api/v1/projects/<slug:project>/images/<uuid:id>/deactivate                   POST member
api/v1/projects/<slug:project>/images/<uuid:id>/reactivate                   POST member
api/v1/projects/<slug:project>/images/<uuid:id>/members                      GET reader  POST member
api/v1/projects/<slug:project>/images/<uuid:id>/members/<uuid:project_id>    DELETE member
api/v1/projects/<slug:project>/images/<uuid:id>/exports                      GET reader  POST member
api/v1/projects/<slug:project>/image-exports/<uuid:id>                       GET reader  DELETE member
api/v1/projects/<slug:project>/images/<uuid:id>/accept                       POST member
api/v1/projects/<slug:project>/images/<uuid:id>/reject                       POST member
api/v1/projects/<slug:project>/buckets                                       GET reader  POST member
api/v1/projects/<slug:project>/buckets/<str:name>                            GET reader  PATCH member DELETE member
api/v1/projects/<slug:project>/buckets/<str:name>/policy                     GET reader  PUT member DELETE member
api/v1/projects/<slug:project>/buckets/<str:name>/policy/check               POST reader
api/v1/projects/<slug:project>/buckets/<str:name>/simulate                   POST reader
api/v1/projects/<slug:project>/buckets/<str:name>/cors                       GET reader  PUT member
api/v1/projects/<slug:project>/buckets/<str:name>/lifecycle                  GET reader  PUT member
api/v1/projects/<slug:project>/buckets/<str:name>/lifecycle/preview          POST reader
api/v1/projects/<slug:project>/buckets/<str:name>/emptying                   GET reader  POST member DELETE member
api/v1/projects/<slug:project>/buckets/<str:name>/notifications              GET reader  PUT member
api/v1/projects/<slug:project>/buckets/<str:name>/usage                      GET reader
api/v1/projects/<slug:project>/buckets/<str:name>/inventory                  GET reader  POST member
api/v1/projects/<slug:project>/buckets/<str:name>/traffic                    GET reader
api/v1/projects/<slug:project>/buckets-usage                                 GET reader
api/v1/projects/<slug:project>/webhooks                                      GET reader  POST member
api/v1/projects/<slug:project>/webhooks/<uuid:id>                            GET reader  PATCH member DELETE member
api/v1/projects/<slug:project>/webhooks/<uuid:id>/test                       POST member
api/v1/projects/<slug:project>/webhooks/<uuid:id>/redeliver                  POST member
api/v1/projects/<slug:project>/webhooks/<uuid:id>/deliveries/<uuid:event_id> GET reader
api/v1/projects/<slug:project>/webhooks/<uuid:id>/deliveries/<uuid:event_id>/redeliver POST member
api/v1/projects/<slug:project>/deliveries                                    GET reader
api/v1/projects/<slug:project>/encryption-keys                               GET reader  POST member
api/v1/projects/<slug:project>/encryption-keys/<uuid:id>                     GET reader
api/v1/projects/<slug:project>/encryption-keys/<uuid:id>/rotate              POST member
api/v1/projects/<slug:project>/encryption-keys/<uuid:id>/enable              POST member
api/v1/projects/<slug:project>/encryption-keys/<uuid:id>/disable             POST member
api/v1/projects/<slug:project>/instances/<uuid:id>/first-boot                GET reader
api/v1/projects/<slug:project>/vpn-peers                                     GET reader  POST member
api/v1/projects/<slug:project>/vpn-peers/<uuid:id>                           GET reader  DELETE member
api/v1/projects/<slug:project>/snippets                                      GET reader  POST member
api/v1/projects/<slug:project>/snippets/shipped                              GET reader
api/v1/projects/<slug:project>/snippets/<uuid:id>                            GET reader  PATCH member DELETE member
api/v1/projects/<slug:project>/user-data/check                               POST reader
api/v1/projects/<slug:project>/keypairs                                      GET reader  POST member
api/v1/projects/<slug:project>/keypairs/import                               POST member
api/v1/projects/<slug:project>/keypairs/<uuid:id>                            GET reader  DELETE member
api/v1/projects/<slug:project>/networks                                      GET reader  POST member
api/v1/projects/<slug:project>/networks/<uuid:id>                            GET reader  PATCH member DELETE member
api/v1/projects/<slug:project>/load-balancers                                GET reader  POST member
api/v1/projects/<slug:project>/load-balancers/<uuid:id>                      GET reader  PATCH member DELETE member
api/v1/projects/<slug:project>/load-balancers/<uuid:id>/listeners            POST member
api/v1/projects/<slug:project>/load-balancers/<uuid:id>/listeners/<uuid:listener_id> PATCH member DELETE member
api/v1/projects/<slug:project>/load-balancers/<uuid:id>/pools                POST member
api/v1/projects/<slug:project>/load-balancers/<uuid:id>/pools/<uuid:pool_id>  PATCH member DELETE member
api/v1/projects/<slug:project>/load-balancers/<uuid:id>/pools/<uuid:pool_id>/pool-members POST member
api/v1/projects/<slug:project>/load-balancers/<uuid:id>/pools/<uuid:pool_id>/pool-members/<uuid:member_id> PATCH member DELETE member
api/v1/projects/<slug:project>/routers                                       GET reader  POST member
api/v1/projects/<slug:project>/routers/<uuid:id>                             GET reader  PATCH member DELETE member
api/v1/projects/<slug:project>/routers/<uuid:id>/gateway                     PUT member
api/v1/projects/<slug:project>/routers/<uuid:id>/routes                      PUT member
api/v1/projects/<slug:project>/routers/<uuid:id>/networks/<uuid:network_id>  PUT member  DELETE member
api/v1/projects/<slug:project>/floating-ips                                  GET reader  POST member
api/v1/projects/<slug:project>/floating-ips/<uuid:id>                        GET reader  PATCH member DELETE member
api/v1/projects/<slug:project>/floating-ips/<uuid:id>/associate              POST member
api/v1/projects/<slug:project>/floating-ips/<uuid:id>/disassociate           POST member
api/v1/projects/<slug:project>/port-forwards                                 GET reader  POST member
api/v1/projects/<slug:project>/port-forwards/<uuid:id>                       GET reader  DELETE member
api/v1/projects/<slug:project>/ports                                          GET reader  POST member
api/v1/projects/<slug:project>/ports/<uuid:id>                                GET reader  PATCH member DELETE member
api/v1/projects/<slug:project>/networks/<uuid:id>/names                       GET reader  PUT member
api/v1/projects/<slug:project>/reachability                                   GET reader
api/v1/projects/<slug:project>/topology                                       GET reader
api/v1/projects/<slug:project>/address-groups                                 GET reader  POST member
api/v1/projects/<slug:project>/address-groups/<uuid:id>                       GET reader  PATCH member DELETE member
api/v1/projects/<slug:project>/ports/<uuid:id>/security-groups               PUT member
api/v1/projects/<slug:project>/security-groups                               GET reader  POST member
api/v1/projects/<slug:project>/security-groups/<uuid:id>                     GET reader  PATCH member DELETE member
api/v1/projects/<slug:project>/security-groups/<uuid:id>/rules               POST member
api/v1/projects/<slug:project>/security-groups/<uuid:id>/rules/<uuid:rule_id> DELETE member
api/v1/projects/<slug:project>/backup-vaults                                 GET reader  POST member
api/v1/projects/<slug:project>/backup-vaults/<uuid:id>                       GET reader  PATCH member  DELETE member
api/v1/projects/<slug:project>/backup-vaults/<uuid:id>/refresh               POST member
api/v1/projects/<slug:project>/backups                                       GET reader  POST member
api/v1/projects/<slug:project>/backups/<uuid:id>                             GET reader  PATCH member  DELETE member
api/v1/projects/<slug:project>/backups/<uuid:id>/files                       GET member
api/v1/projects/<slug:project>/backups/<uuid:id>/file                        GET member
api/v1/projects/<slug:project>/backups/<uuid:id>/cancel                      POST member
api/v1/projects/<slug:project>/backups/<uuid:id>/verify                      POST member
api/v1/projects/<slug:project>/backups/<uuid:id>/restore-volume              POST member
api/v1/projects/<slug:project>/backups/<uuid:id>/restore-over                POST member
api/v1/projects/<slug:project>/backups/<uuid:id>/restore-instance            POST member
api/v1/projects/<slug:project>/backup-schedules                              GET reader  POST member
api/v1/projects/<slug:project>/backup-schedules/<uuid:id>                    GET reader  PATCH member  DELETE member
api/v1/projects/<slug:project>/backup-schedules/<uuid:id>/run                POST member
api/v1/projects/<slug:project>/server-groups                                 GET reader  POST member
api/v1/projects/<slug:project>/server-groups/<uuid:id>                       GET reader  DELETE member
api/v1/projects/<slug:project>/server-groups/<uuid:id>/instances/<uuid:instance_id>  PUT member  DELETE member
api/v1/projects/<slug:project>/volumes                                       GET reader  POST member
api/v1/projects/<slug:project>/volumes/<uuid:id>                             GET reader  PATCH member DELETE member
api/v1/projects/<slug:project>/volumes/<uuid:id>/attach                      POST member
api/v1/projects/<slug:project>/volumes/<uuid:id>/grow                        POST member
api/v1/projects/<slug:project>/volumes/<uuid:id>/retype                      POST member
api/v1/projects/<slug:project>/volumes/<uuid:id>/offer                       GET reader  POST member DELETE member
api/v1/projects/<slug:project>/volume-offers                                 POST member
api/v1/projects/<slug:project>/instances/<uuid:id>/snapshots                 GET reader  POST member
api/v1/projects/<slug:project>/instance-snapshots/<uuid:id>                  GET reader  DELETE member
api/v1/projects/<slug:project>/instance-snapshots/<uuid:id>/restore          POST member
api/v1/projects/<slug:project>/instance-snapshots/<uuid:id>/launch           POST member
api/v1/projects/<slug:project>/snapshots                                     GET reader  POST member
api/v1/projects/<slug:project>/snapshots/<uuid:id>                           GET reader  PATCH member DELETE member
api/v1/projects/<slug:project>/snapshots/<uuid:id>/restore                   POST member
api/v1/projects/<slug:project>/snapshots/<uuid:id>/files                     GET member
api/v1/projects/<slug:project>/snapshots/<uuid:id>/file                      GET member
api/v1/projects/<slug:project>/volumes/<uuid:id>/detach                      POST member
api/v1/projects/<slug:project>/volumes/<uuid:id>/protect                     POST member
api/v1/projects/<slug:project>/volumes/<uuid:id>/unprotect                   POST member
api/v1/external-networks                                                     GET self
api/v1/external-networks/<uuid:id>                                           GET self
api/v1/volume-types                                                          GET self
api/v1/volume-types/<uuid:id>                                                GET self
api/v1/flavors                                                               GET self
api/v1/flavors/<uuid:id>                                                     GET self
api/v1/admin/hosts                                                           GET look
api/v1/admin/health                                                          GET look
api/v1/admin/audit                                                           GET look
api/v1/admin/audit/chain                                                     GET look
api/v1/admin/instances                                                       GET look
api/v1/admin/buckets                                                         GET look
api/v1/admin/drives                                                          GET look    POST box
api/v1/admin/drives/<uuid:id>                                                GET look    PATCH box
api/v1/admin/drives/<uuid:id>/replace                                        POST box
api/v1/admin/drives/<uuid:id>/drain                                          POST box
api/v1/admin/drives/<uuid:id>/keep                                           POST box
api/v1/admin/drives/<uuid:id>/remove                                         POST box
api/v1/admin/drive-orders                                                    GET look
api/v1/admin/store/rounds                                                    GET look
api/v1/admin/images                                                          GET look
api/v1/admin/image-catalogue                                                 GET look    POST box
api/v1/admin/image-catalogue/<uuid:id>                                       GET look    PATCH box DELETE box
api/v1/admin/image-catalogue/<uuid:id>/fetch                                 POST box
api/v1/admin/projects                                                        GET look    POST box
api/v1/admin/projects/<slug:slug>/suspend                                    POST box
api/v1/admin/projects/<slug:slug>/resume                                     POST box
api/v1/admin/projects/<slug:slug>/quotas                                     PATCH box
api/v1/admin/users                                                           GET look    POST box
api/v1/admin/users/<uuid:id>                                                 GET look
api/v1/admin/users/<uuid:id>/suspend                                         POST box
api/v1/admin/users/<uuid:id>/resume                                          POST box
api/v1/admin/users/<uuid:id>/password                                        POST box
api/v1/admin/volume-types                                                    GET look    POST box
api/v1/admin/volume-types/<uuid:id>                                          PATCH box
api/v1/admin/volume-types/<uuid:id>/retire                                   POST box
api/v1/admin/volume-types/<uuid:id>/restore                                  POST box
api/v1/admin/external-networks                                               GET look    POST box
api/v1/admin/external-networks/<uuid:id>                                     PATCH box   DELETE box
api/v1/admin/flavors                                                         GET look    POST box
api/v1/admin/flavors/<uuid:id>/retire                                        POST box
api/v1/admin/flavors/<uuid:id>/restore                                       POST box
api/v1/openapi.json                                                          GET open
api/v1/openapi.yaml                                                          GET open
api/v1/docs                                                                  GET self
api/v1/^.*$                                                                  -
"""
# POSTs that only look: what they are asked is too long for an address.
LOOKS = {f"api/v1/projects/<slug:project>/buckets/<str:name>/{what}" for what in ("policy/check", "simulate")} | {
    "api/v1/projects/<slug:project>/user-data/check"
}
# These have tables of their own: tests/identity/keystone/test_routes.py and tests/openstack/test_routes.py.
KEYSTONE = ("identity", "auth/", "^identity")
OPENSTACK = tuple(f"{mark}{name}" for name in ("compute", "image", "network", "volume/", "placement") for mark in ("", "^"))
OPENSTACK_ROOTS = {"volume"}
WEBSOCKETS = {"live", "console/<str:token>"}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# GETs of those who may that answer something else than a page: they show no picture yet, or send people on.
NOT_200 = {
    # No object store runs here (one on its port would be another box's, and refuse).
    "p/<slug:project>/buckets/<str:name>/o": {200, 503},
    "p/<slug:project>/buckets/<str:name>/o/download": {400},
    "p/<slug:project>/instances/<uuid:id>/screen.png": {404},
    "api/v1/projects/<slug:project>/instances/<uuid:id>/screenshot": {404},
    "api/v1/projects/<slug:project>/volumes/<uuid:id>/offer": {404},
    # No agent has answered, no hours are set; and it must be asked from where to where.
    "api/v1/projects/<slug:project>/instances/<uuid:id>/guest": {404},
    "api/v1/projects/<slug:project>/instances/<uuid:id>/office-hours": {404},
    "api/v1/projects/<slug:project>/reachability": {422},
    "api/v1/projects/<slug:project>/backup-vaults": {200, 503},
    # It must be said which file.
    "p/<slug:project>/backups/<uuid:id>/file": {400},
    "api/v1/projects/<slug:project>/backups/<uuid:id>/file": {422},
    "api/v1/projects/<slug:project>/backups/<uuid:id>/files": {503},
    "p/<slug:project>/snapshots/<uuid:id>/file": {400},
    "api/v1/projects/<slug:project>/snapshots/<uuid:id>/file": {422},
    "api/v1/projects/<slug:project>/snapshots/<uuid:id>/files": {409},
    "api/v1/projects/<slug:project>/backup-vaults/<uuid:id>/refresh": {503},
    "p/<slug:project>/backup-vaults/new": {200, 503},
    "p/<slug:project>/instances/<str:name>": {200, 302},
    "p/<slug:project>/buckets/<str:name>": {302},
    "api/v1/projects/<slug:project>/buckets/<str:name>": {200, 503},
    "api/v1/projects/<slug:project>/buckets/<str:name>/lifecycle/preview": {503},
    # The log is the worker's, and no worker runs here.
    "p/<slug:project>/instances/<uuid:id>/log.txt": {503},
    "api/v1/projects/<slug:project>/instances/<uuid:id>/console-log": {503},
    "api/v1/projects/<slug:project>/instances/<uuid:id>/first-boot": {503},
}


@dataclass(frozen=True)
class Route:
    text: str
    least: dict[str, str]

    @property
    def is_api(self) -> bool:
        return self.text.startswith("api/")

    @property
    def is_admin(self) -> bool:
        return self.text.startswith(("admin", "api/v1/admin/"))

    @property
    def is_project(self) -> bool:
        return "<slug:project>" in self.text

    @property
    def probes(self) -> Iterator[tuple[str, str]]:
        yield from self.least.items()


def _parse() -> dict[str, Route]:
    routes = {}
    for line in TABLE.strip("\n").splitlines():
        if not line.strip():
            continue
        text, words = line.split(" ")[0], re.sub(r"^\S*", "", line) if line[0] != " " else line
        pairs = words.split()
        routes[text] = Route(text, {} if pairs == ["-"] else dict(zip(pairs[::2], pairs[1::2], strict=True)))
    return routes


ROUTES = _parse()


def test_every_route_is_in_the_table() -> None:
    found = {route for route in http_routes() if not route.startswith((*KEYSTONE, *OPENSTACK))} - OPENSTACK_ROOTS
    assert found - set(ROUTES) == set(), "routes without a line in the table"
    assert set(ROUTES) - found == set(), "lines in the table without a route"
    assert websocket_routes() == WEBSOCKETS


class Probe:
    """Sends requests to routes of a world, as one person, with addresses and bodies that would be right."""

    def __init__(self, world: World, who: str) -> None:  # noqa: F811
        self.world, self.ids = world, ids_of(world)
        self.user = world.users[who] if who else None
        self.client = Client(raise_request_exception=False)
        self.sign_in()
        self.examples = {(each.method.upper(), each.path): each.example for each in operations()}

    def sign_in(self) -> None:
        if self.user and settings.SESSION_COOKIE_NAME not in self.client.cookies:
            self.client.force_login(self.user)

    def address(self, route: str) -> str:
        parts: list[str] = []
        for part in route.split("/"):
            noun = {"keys": "access-keys", "disks": "volumes"}.get(parts[-1], parts[-1]) if parts else ""
            known = {"<slug:project>": "shop", "<slug:slug>": "shop", "<slug:key>": "deactivate", "<int:pk>": "1", "<str:name>": "probe"}
            if part == "<slug:key>" and noun == "do" and parts[2].startswith("backup"):
                part = {"backups": "verify", "backup-vaults": "refresh", "backup-schedules": "off"}[parts[2]]
            elif part == "<slug:key>" and noun == "do":
                if "floating-ips" in parts:
                    part = "disassociate"
                elif "load-balancers" in parts:
                    part = "enable-member"
                else:
                    part = "protect" if "volumes" in parts else "restore" if {"snapshots", "instance-snapshots"} & {*parts} else "stop"
            elif part == "<slug:key>" and "encryption-keys" in parts:
                part = "disable"
            elif part == "<uuid:user_id>" or (noun == "members" and part.startswith("<")):
                part = self.ids["members"]
            elif part in known:
                part = known[part]
            elif part.startswith("<"):
                part = self.ids[noun]
            parts.append(part)
        return "/" + "/".join(parts)

    def body(self, route: Route, method: str) -> tuple[Any, str]:
        if route.is_api:
            path = "/" + re.sub(r"<\w+:(\w+)>", r"{\1}", route.text)
            return json.dumps(self.examples.get((method, path), {})), "application/json"
        form = {
            "name": "other", "email": "stranger@example.org", "role": "reader", "kind": "serial", "source": "create", "action": "stop",
            "id": self.ids["instances"], "typed": "probe", "direction": "ingress", "protocol": "tcp", "port_min": "80", "remote": "",
            "image": self.ids["images"], "size": self.ids["flavors"], "network": self.ids["networks"], "group": self.ids["security-groups"],
            "vcpus": "1", "memory_mib": "512", "disk_gib": "5", "slug": "other", "instances": "99", "box_role": "admin", "form": "name",
            "description": "other", "port": self.ids["ports"], "query": "q=other", "target": self.ids["pool-members"],
        }  # fmt: skip
        return form, "form"

    def ask(self, route: Route, method: str, address: str = "") -> Any:
        address = address or self.address(route.text)
        self.sign_in()
        if method == "GET":
            return self.client.get(address)
        body, kind = self.body(route, method)
        if kind == "form" and method == "POST":
            answer = self.client.post(address, body)
            if route.text == "sign-out":
                self.client.cookies.clear()
            return answer
        return self.client.generic(method, address, body if isinstance(body, str) else "", content_type="application/json")


def _changes() -> int:
    """How many things have been done: every success leaves an event, and a sign-in is none."""
    return Event.objects.filter(outcome="ok").exclude(verb="sign-in").count()


def _probe_all(probe: Probe, check: Any) -> None:
    """Every method of every route; all failures in one list, since one is rarely alone."""
    wrong = []
    for route in ROUTES.values():
        for method, least in route.probes:
            before = _changes()
            answer = probe.ask(route, method)
            reason = check(route, method, least, answer)
            if answer.status_code >= 500 and answer.status_code not in NOT_200.get(route.text, ()):
                reason = "an error of ours"
            if least not in ("open", "self", "reader") and method != "GET" and _changes() != before:
                reason = f"{reason or ''} and something was done: {Event.objects.latest('id').verb}"
            if reason:
                wrong.append(f"{method} {route.text}: {answer.status_code} {answer.get('Location', '')}, {reason}")
    assert not wrong, "\n" + "\n".join(wrong)


def test_nobody(world: World) -> None:  # noqa: F811
    """Without a sign-in: the open routes answer, pages lead to the sign-in, the API says 401."""

    def check(route: Route, method: str, least: str, answer: Any) -> str:
        if least == "open":
            return "" if answer.status_code < 500 and answer.status_code != 401 else "should be open"
        if route.is_api and route.text != "api/v1/docs":
            return "" if answer.status_code == 401 else "should be 401"
        return "" if answer.status_code == 302 and answer["Location"].startswith("/sign-in") else "should lead to the sign-in"

    _probe_all(Probe(world, ""), check)


def test_a_stranger(world: World) -> None:  # noqa: F811
    """The admin of another project: this one is not there, and neither is the admin console."""

    def check(route: Route, method: str, least: str, answer: Any) -> str:
        if route.is_project:
            return "" if answer.status_code == 404 else "should be 404"
        if route.is_admin:
            return "" if answer.status_code == (403 if route.is_api else 404) else "should be refused"
        return ""

    _probe_all(Probe(world, "stranger"), check)


def test_a_reader(world: World) -> None:  # noqa: F811
    """Sees all of the project, changes nothing in it."""

    def check(route: Route, method: str, least: str, answer: Any) -> str:
        if route.is_project and least == "reader":
            return _is_shown(route, answer) if method == "GET" else ""
        if least in ("member", "admin") and route.is_api:
            return "" if answer.status_code == 403 else "should be 403"
        if route.is_admin:
            return "" if answer.status_code == (403 if route.is_api else 404) else "should be refused"
        return ""

    _probe_all(Probe(world, "reader"), check)


def test_support(world: World) -> None:  # noqa: F811
    """Looks at everything, touches nothing; what tenants wrote to their disks is theirs alone."""

    def check(route: Route, method: str, least: str, answer: Any) -> str:
        if method == "GET" and least == "member":
            return "" if answer.status_code == 403 else "should be 403"
        if method == "GET" and (route.is_project or route.is_admin):
            return _is_shown(route, answer)
        if route.is_api and least not in ("self", "open") and route.text not in LOOKS:
            return "" if answer.status_code == 403 else "should be 403"
        return ""

    _probe_all(Probe(world, "support"), check)


def _is_shown(route: Route, answer: Any) -> str:
    return "" if answer.status_code in NOT_200.get(route.text, {200}) else "should be shown"


@pytest.mark.parametrize("who", ["owner", "admin"])
def test_who_may(who: str, world: World) -> None:  # noqa: F811
    """Those who may see every page of theirs: the addresses that others are refused at are real ones."""
    probe, wrong = Probe(world, who), []
    for route in ROUTES.values():
        if "GET" in route.least and (route.is_project or (route.is_admin and who == "admin")):
            answer = probe.ask(route, "GET")
            if _is_shown(route, answer):
                wrong.append(f"GET {route.text}: {answer.status_code} {answer.content[:200]!r}")
    assert not wrong, "\n" + "\n".join(wrong)


def test_who_may_write(world: World) -> None:  # noqa: F811
    """The requests that change nothing for others are understood when an administrator sends them. Each is rolled back."""
    probe, wrong = Probe(world, "admin"), []
    for route in ROUTES.values():
        for method, least in route.probes:
            if method == "GET" or least in ("open", "self"):
                continue
            with transaction.atomic():
                answer = probe.ask(route, method)
                transaction.set_rollback(True)
            named_in_body = route.is_api and answer.status_code == 404 and "field" in answer.json()
            ours = answer.status_code >= 500 and answer.status_code not in NOT_200.get(route.text, ())
            if ours or (answer.status_code in (401, 403, 404, 405) and not named_in_body):
                wrong.append(f"{method} {route.text}: {answer.status_code} {answer.content[-300:]!r}")
    assert not wrong, "\n" + "\n".join(wrong)


def test_malformed_ids(world: World) -> None:  # noqa: F811
    """An id that is none is an address that is none: 404, for every method, also to who may do everything."""
    probe, wrong = Probe(world, "admin"), []
    for route in ROUTES.values():
        if "<uuid:" not in route.text:
            continue
        for bad in ("not-a-uuid", "6f0c5d3e-3f0b-4c55-9a51-0d2f5a1c7e1", "9" * 400):
            address = probe.address(re.sub(r"<uuid:\w+>", "\x00", route.text).replace("\x00", bad))
            for method in route.least:
                answer = probe.ask(route, method, address)
                # A name in the portal's address bar may be anything; it finds nothing.
                if answer.status_code not in (400, 404, 405):
                    wrong.append(f"{method} {address}: {answer.status_code}")
    assert not wrong, "\n" + "\n".join(wrong)


def test_unlisted_methods(world: World) -> None:  # noqa: F811
    """A method that is not in the table is refused, or does nothing."""
    probe, wrong = Probe(world, "admin"), []
    for route in ROUTES.values():
        if not route.least:
            continue
        for method in METHODS:
            if method not in route.least and (route.is_api or method in ("POST", "PUT")):
                before = _changes()
                answer = probe.ask(route, method)
                if answer.status_code >= 500 or _changes() != before or (route.is_api and answer.status_code != 405):
                    wrong.append(f"{method} {route.text}: {answer.status_code}")
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("origin", ["http://testserver", "http://evil.example", ""])
@pytest.mark.parametrize("path", ["/live", "/live?project=shop", "/console/nothing", "/console/" + "a" * 3000, "/elsewhere"])
def test_websockets_of_nobody(path: str, origin: str) -> None:
    """Without a session or a token no WebSocket stays open; from another page none begins."""
    from cloudbox.asgi import application

    async def knock() -> bool:
        headers = [(b"host", b"testserver"), *([(b"origin", origin.encode())] if origin else [])]
        path_only, _, query = path.partition("?")
        scope = {"type": "websocket", "path": path_only, "query_string": query.encode(), "headers": headers, "subprotocols": []}
        socket = ApplicationCommunicator(application, scope)
        await socket.send_input({"type": "websocket.connect"})
        try:
            said = await socket.receive_output(timeout=1)
            if said["type"] == "websocket.accept":
                said = await socket.receive_output(timeout=1)
        except ValueError:  # channels has no route there
            return False
        return said["type"] != "websocket.close"

    assert async_to_sync(knock)() is False


def test_the_session_cookie_is_guarded() -> None:
    assert settings.SESSION_COOKIE_HTTPONLY
    assert settings.SESSION_COOKIE_SAMESITE == "Lax"
