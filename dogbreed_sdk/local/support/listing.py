"""The members that the operations of all resources share: pages, filters, tags; and the operations on tags."""

from __future__ import annotations

from dogbreed_sdk.local.support.rows import WORKS, Table, refused, works

PAGES: Table = {"NextToken": WORKS, "MaxResults": WORKS}
CREATED: Table = {"CreationTimeAfter": WORKS, "CreationTimeBefore": WORKS}
TIMES: Table = {**CREATED, "LastModifiedTimeAfter": WORKS, "LastModifiedTimeBefore": WORKS}
SORT_ORDER = works(only=("Ascending", "Descending"))
TAGS: Table = {"Key": WORKS, "Value": WORKS}

OPERATIONS: Table = {
    "AddTags": {"ResourceArn": WORKS, "Tags": TAGS},
    "ListTags": {
        "ResourceArn": WORKS,
        "NextToken": refused("all tags of a resource come on one page; leave it out"),
        "MaxResults": works("a resource has at most 50 tags, and they come on one page"),
    },
    "DeleteTags": {"ResourceArn": WORKS, "TagKeys": WORKS},
}
