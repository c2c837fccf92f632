"""The members of the operations on models."""

from __future__ import annotations

from dogbreed_sdk.local.support.listing import CREATED, PAGES, SORT_ORDER, TAGS
from dogbreed_sdk.local.support.rows import WORKS, Table, no_meaning, refused, routine, works
from dogbreed_sdk.local.support.training_jobs import NETWORK_ISOLATION, ROLE, VPC

_NO_REGISTRY = "there is no model registry; pass Image and ModelDataUrl"

_CONTAINER: Table = {
    "ContainerHostname": no_meaning("a model has one container"),
    "Image": routine("no image is run; the model server is dogbreed_sdk's"),
    "ImageConfig": no_meaning("no image is pulled"),
    "Mode": works("multi-model endpoints are refused", only=("SingleModel",)),
    "ModelDataUrl": works("file:// archives and folders too"),
    "ModelDataSource": {
        "S3DataSource": {
            "S3Uri": works("file:// archives and folders too"),
            "S3DataType": works(only=("S3Prefix", "S3Object")),
            "CompressionType": works(only=("None", "Gzip")),
            "ModelAccessConfig": no_meaning("no license is checked"),
            "HubAccessConfig": refused("there is no model hub; pass the model's S3Uri"),
            "ManifestS3Uri": refused("pass an archive or a folder"),
            "ETag": refused("no ETag is compared; leave it out"),
            "ManifestEtag": refused("no ETag is compared; leave it out"),
        }
    },
    "AdditionalModelDataSources": refused("put the files into the model's archive"),
    "Environment": WORKS,
    "ModelPackageName": refused(_NO_REGISTRY),
    "InferenceSpecificationName": refused(_NO_REGISTRY),
    "MultiModelConfig": refused("multi-model endpoints are not served; create a model for each archive"),
    "ContainerMetricsConfig": no_meaning("no metrics are collected from the container"),
}

OPERATIONS: Table = {
    "CreateModel": {
        "ModelName": WORKS,
        "PrimaryContainer": _CONTAINER,
        "Containers": _CONTAINER,
        "InferenceExecutionConfig": {"Mode": works("a model has one container", only=("Serial",))},
        "ExecutionRoleArn": ROLE,
        "Tags": TAGS,
        "VpcConfig": VPC,
        "EnableNetworkIsolation": NETWORK_ISOLATION,
    },
    "DescribeModel": {"ModelName": WORKS},
    "ListModels": {
        "SortBy": works(only=("Name", "CreationTime")),
        "SortOrder": SORT_ORDER,
        **PAGES,
        "NameContains": WORKS,
        **CREATED,
    },
    "DeleteModel": {"ModelName": WORKS},
}
