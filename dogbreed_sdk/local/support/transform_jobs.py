"""The members of the operations on batch transform jobs."""

from __future__ import annotations

from dogbreed_sdk.local.support.listing import PAGES, SORT_ORDER, TAGS, TIMES
from dogbreed_sdk.local.support.rows import WORKS, Table, no_meaning, refused, routine, works

OPERATIONS: Table = {
    "CreateTransformJob": {
        "TransformJobName": WORKS,
        "ModelName": WORKS,
        "MaxConcurrentTransforms": works("by default what the model recommends, as on AWS; at most 64"),
        "ModelClientConfig": {"InvocationsTimeoutInSeconds": WORKS, "InvocationsMaxRetries": WORKS},
        "MaxPayloadInMB": works("0 means no limit; the model gets such a request as a whole"),
        "BatchStrategy": works(only=("MultiRecord", "SingleRecord")),
        "Environment": WORKS,
        "TransformInput": {
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": works(only=("S3Prefix", "ManifestFile")),
                    "S3Uri": works("file:// folders and files too"),
                }
            },
            "ContentType": WORKS,
            "CompressionType": works(only=("None", "Gzip")),
            "SplitType": works("convert records in other containers to lines", only=("None", "Line")),
        },
        "TransformOutput": {
            "S3OutputPath": works("file:// folders too"),
            "Accept": WORKS,
            "AssembleWith": works(only=("None", "Line")),
            "KmsKeyId": no_meaning("nothing is encrypted"),
        },
        "DataCaptureConfig": refused("the inputs and outputs stay where they are; leave it out"),
        "TransformResources": {
            "InstanceType": routine("the job runs on this machine"),
            "InstanceCount": routine("the job runs on this machine"),
            "VolumeKmsKeyId": no_meaning("nothing is encrypted"),
            "TransformAmiVersion": no_meaning("the job runs on this machine"),
        },
        "DataProcessing": {
            "InputFilter": works("the end of a slice is exclusive"),
            "OutputFilter": works("the end of a slice is exclusive"),
            "JoinSource": works(only=("None", "Input")),
        },
        "Tags": TAGS,
        "ExperimentConfig": no_meaning("there are no experiments"),
    },
    "DescribeTransformJob": {"TransformJobName": WORKS},
    "ListTransformJobs": {
        **TIMES,
        "NameContains": WORKS,
        "StatusEquals": WORKS,
        "SortBy": works(only=("Name", "CreationTime", "Status")),
        "SortOrder": SORT_ORDER,
        **PAGES,
    },
    "StopTransformJob": {"TransformJobName": WORKS},
}
