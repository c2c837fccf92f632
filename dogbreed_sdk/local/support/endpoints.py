"""The members of the operations on endpoint configurations and endpoints, and of invocations."""

from __future__ import annotations

from dogbreed_sdk.local.support.listing import CREATED, PAGES, SORT_ORDER, TAGS, TIMES
from dogbreed_sdk.local.support.rows import WORKS, Table, no_meaning, refused, routine, works
from dogbreed_sdk.local.support.training_jobs import NETWORK_ISOLATION, ROLE, VPC

_ONE_SERVER = "one model server on this machine answers all requests of a variant"

_VARIANT: Table = {
    "VariantName": WORKS,
    "ModelName": WORKS,
    "InitialInstanceCount": routine(_ONE_SERVER),
    "InstanceType": routine(_ONE_SERVER),
    "InstancePools": refused("pass InstanceType and InitialInstanceCount"),
    "VariantInstanceProvisionTimeoutInSeconds": no_meaning("there are no instances to wait for"),
    "InitialVariantWeight": WORKS,
    "AcceleratorType": no_meaning("the model server uses this machine's processors"),
    "CoreDumpConfig": refused("leave it out; the endpoint's log says how the model server ended"),
    "ServerlessConfig": {
        "MemorySizeInMB": routine(_ONE_SERVER),
        "MaxConcurrency": routine(_ONE_SERVER),
        "ProvisionedConcurrency": no_meaning(_ONE_SERVER),
    },
    "VolumeSizeInGB": no_meaning("the model server has the space that the disk has"),
    "ModelDataDownloadTimeoutInSeconds": no_meaning("a download takes as long as it needs"),
    "ContainerStartupHealthCheckTimeoutInSeconds": WORKS,
    "EnableSSMAccess": no_meaning("the model server's processes are on this machine"),
    "ManagedInstanceScaling": no_meaning(_ONE_SERVER),
    "RoutingConfig": no_meaning(_ONE_SERVER),
    "InferenceAmiVersion": no_meaning("there are no instances"),
    "CapacityReservationConfig": no_meaning("there is no capacity to reserve"),
    "AcceleratorPartitionLayouts": no_meaning("the model server uses this machine's processors"),
}

_DEPLOYMENT = no_meaning("the new model servers take over all requests once they are healthy")

OPERATIONS: Table = {
    "CreateEndpointConfig": {
        "EndpointConfigName": WORKS,
        "ProductionVariants": _VARIANT,
        "DataCaptureConfig": {
            "EnableCapture": works("of real-time endpoints"),
            "InitialSamplingPercentage": WORKS,
            "DestinationS3Uri": works("file:// folders too"),
            "KmsKeyId": no_meaning("nothing is encrypted"),
            "CaptureOptions": {"CaptureMode": works(only=("Input", "Output", "InputAndOutput"))},
            "CaptureContentTypeHeader": {"CsvContentTypes": WORKS, "JsonContentTypes": WORKS},
        },
        "Tags": TAGS,
        "KmsKeyId": no_meaning("nothing is encrypted"),
        "AsyncInferenceConfig": {
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": works("8 without it, and 64 at most")},
            "OutputConfig": {
                "KmsKeyId": no_meaning("nothing is encrypted"),
                "S3OutputPath": works("file:// folders too; required"),
                "NotificationConfig": refused("there is no SNS; wait for the object at OutputLocation"),
                "S3FailurePath": works("file:// folders too; without it, only the endpoint's log has the reasons"),
            },
        },
        "ExplainerConfig": refused("there is no Clarify; leave it out"),
        "ShadowProductionVariants": refused("shadows get no requests; create another endpoint for one"),
        "ExecutionRoleArn": ROLE,
        "VpcConfig": VPC,
        "EnableNetworkIsolation": NETWORK_ISOLATION,
        "MetricsConfig": no_meaning("no metrics are collected from endpoints"),
        "CrossRegionTrafficConfig": no_meaning("there is one region"),
    },
    "DescribeEndpointConfig": {"EndpointConfigName": WORKS},
    "ListEndpointConfigs": {
        "SortBy": works(only=("Name", "CreationTime")),
        "SortOrder": SORT_ORDER,
        **PAGES,
        "NameContains": WORKS,
        **CREATED,
    },
    "DeleteEndpointConfig": {"EndpointConfigName": WORKS},
    "CreateEndpoint": {
        "EndpointName": WORKS,
        "EndpointConfigName": WORKS,
        "DeploymentConfig": _DEPLOYMENT,
        "Tags": TAGS,
    },
    "DescribeEndpoint": {"EndpointName": WORKS},
    "ListEndpoints": {
        "SortBy": works(only=("Name", "CreationTime", "Status")),
        "SortOrder": SORT_ORDER,
        **PAGES,
        "NameContains": WORKS,
        **TIMES,
        "StatusEquals": WORKS,
    },
    "UpdateEndpoint": {
        "EndpointName": WORKS,
        "EndpointConfigName": WORKS,
        "RetainAllVariantProperties": WORKS,
        "ExcludeRetainedVariantProperties": {
            "VariantPropertyType": works(only=("DesiredInstanceCount", "DesiredWeight", "DataCaptureConfig"))
        },
        "DeploymentConfig": _DEPLOYMENT,
        "RetainDeploymentConfig": _DEPLOYMENT,
    },
    "UpdateEndpointWeightsAndCapacities": {
        "EndpointName": WORKS,
        "DesiredWeightsAndCapacities": {
            "VariantName": WORKS,
            "DesiredWeight": WORKS,
            "DesiredInstanceCount": routine(_ONE_SERVER),
            "ServerlessUpdateConfig": no_meaning(_ONE_SERVER),
        },
    },
    "DeleteEndpoint": {"EndpointName": WORKS},
}

RUNTIME_OPERATIONS: Table = {
    "InvokeEndpoint": {
        "EndpointName": WORKS,
        "Body": WORKS,
        "ContentType": WORKS,
        "Accept": WORKS,
        "CustomAttributes": WORKS,
        "TargetModel": refused("there are no multi-model endpoints; create an endpoint for each model"),
        "TargetVariant": WORKS,
        "TargetContainerHostname": refused("a model has one container; leave it out"),
        "InferenceId": works("passed to the model"),
        "EnableExplanations": refused("there is no Clarify; leave it out"),
        "InferenceComponentName": refused("there are no inference components; leave it out"),
        "SessionId": works("passed to the model, whose response can't open a session"),
        "PrefixAwareId": no_meaning(_ONE_SERVER),
    },
    "InvokeEndpointAsync": {
        "EndpointName": WORKS,
        "ContentType": works("without it, that of the S3 object"),
        "Accept": WORKS,
        "CustomAttributes": WORKS,
        "InferenceId": works("passed to the model"),
        "InputLocation": works("s3:// and file:// URIs"),
        "S3OutputPathExtension": WORKS,
        "Filename": WORKS,
        "RequestTTLSeconds": WORKS,
        "InvocationTimeoutSeconds": WORKS,
        "Body": WORKS,
    },
}
