"""The members of the operations on training jobs."""

from __future__ import annotations

from dogbreed_sdk.local.support.listing import PAGES, SORT_ORDER, TAGS, TIMES
from dogbreed_sdk.local.support.rows import WORKS, Table, no_meaning, refused, routine, works

ALGORITHM: Table = {
    "TrainingImage": routine(
        "no image is run, only torch.load follows its PyTorch version; jobs have local SageMaker's Python, or "
        "DOGBREED_LOCAL_PYTHON"
    ),
    "AlgorithmName": refused("AWS's algorithms are containers, and none is run; pass TrainingImage and a script"),
    "TrainingInputMode": works("FastFile is File", only=("File", "FastFile", "Pipe")),
    "MetricDefinitions": {"Name": WORKS, "Regex": WORKS},
}

CHANNEL: Table = {
    "ChannelName": WORKS,
    "DataSource": {
        "S3DataSource": {
            "S3DataType": works(only=("S3Prefix", "ManifestFile", "AugmentedManifestFile")),
            "S3Uri": works("file:// folders too, which are not copied"),
            "S3DataDistributionType": works(only=("FullyReplicated", "ShardedByS3Key")),
            "AttributeNames": WORKS,
            "InstanceGroupNames": refused("there is one group of instances; leave it out"),
            "ModelAccessConfig": no_meaning("no license is checked"),
            "HubAccessConfig": refused("there is no model hub; pass the model's S3Uri"),
        },
        "FileSystemDataSource": refused("there are no file systems to mount; pass an S3DataSource with a file:// URI"),
        "DatasetSource": refused("there are no SageMaker data sets; pass an S3DataSource"),
    },
    "ContentType": WORKS,
    "CompressionType": works("Gzip needs Pipe mode", only=("None", "Gzip")),
    "RecordWrapperType": works("RecordIO needs Pipe mode", only=("None", "RecordIO")),
    "InputMode": works("FastFile is File", only=("File", "FastFile", "Pipe")),
    "ShuffleConfig": {"Seed": works("needs Pipe mode")},
}

OUTPUT: Table = {
    "KmsKeyId": no_meaning("nothing is encrypted"),
    "S3OutputPath": works("file:// folders too"),
    "CompressionType": works(only=("GZIP", "NONE")),
}

RESOURCES: Table = {
    "InstanceType": routine("named in resourceconfig.json; the job runs on this machine"),
    "InstanceCount": works("1 to 8 hosts, which share the machine's cores; more are refused"),
    "VolumeSizeInGB": routine("the job has the space that the disk has"),
    "VolumeKmsKeyId": no_meaning("nothing is encrypted"),
    "KeepAlivePeriodInSeconds": no_meaning("there are no instances to keep warm"),
    "InstanceGroups": refused("pass InstanceType and InstanceCount"),
    "TrainingPlanArn": no_meaning("there is no capacity to reserve"),
    "InstancePlacementConfig": no_meaning("the job runs on this machine"),
    "InstancePreferences": refused("pass InstanceType and InstanceCount"),
    "SelectedInstanceType": refused("AWS sets it; pass InstanceType"),
    "SelectedInstanceCount": refused("AWS sets it; pass InstanceCount"),
}

STOPPING: Table = {
    "MaxRuntimeInSeconds": WORKS,
    "MaxWaitTimeInSeconds": works("the time that a job took since it was created, interruptions included"),
    "MaxPendingTimeInSeconds": no_meaning("there is no capacity to wait for"),
}

CHECKPOINTS: Table = {
    "S3Uri": works("s3:// is kept up to date; a file:// folder is written directly"),
    "LocalPath": works("a folder below /opt/ml"),
}

VPC = no_meaning("jobs and models have this machine's network")
NETWORK_ISOLATION = no_meaning("jobs and models have this machine's network")
TRAFFIC_ENCRYPTION = no_meaning("nothing leaves this machine")
SPOT = works(
    "`dogbreed local interrupt JOB` interrupts the instances; BillableTimeInSeconds is 30% of the running time"
)
RETRIES = no_meaning("there are no internal server errors of AWS's to retry")
ROLE = routine("no permission is checked")

_RULE: Table = {
    "RuleConfigurationName": WORKS,
    "LocalPath": no_meaning("rules run outside the container"),
    "S3OutputPath": works("file:// folders too"),
    "RuleEvaluatorImage": routine(
        "no image is run; built-in rules are dogbreed_sdk's, custom rules end with status Error"
    ),
    "InstanceType": no_meaning("rules run on this machine"),
    "VolumeSizeInGB": no_meaning("rules run on this machine"),
    "RuleParameters": WORKS,
}

_PROFILER: Table = {
    "S3OutputPath": works("file:// folders too"),
    "ProfilingIntervalInMilliseconds": WORKS,
    "ProfilingParameters": works("smdebug profiles the framework, where it is installed for the script"),
    "DisableProfiler": WORKS,
}
_REMOTE_DEBUG = no_meaning("the job's processes are on this machine")

CREATE_TRAINING_JOB: Table = {
    "TrainingJobName": WORKS,
    "HyperParameters": WORKS,
    "AlgorithmSpecification": {
        **ALGORITHM,
        "EnableSageMakerMetricsTimeSeries": routine("metrics are always kept"),
        "ContainerEntrypoint": works("it runs on this machine, in the job's own Python, and finds the job's /opt/ml"),
        "ContainerArguments": works("with a ContainerEntrypoint"),
        "TrainingImageConfig": no_meaning("no image is pulled"),
    },
    "RoleArn": ROLE,
    "InputDataConfig": CHANNEL,
    "OutputDataConfig": OUTPUT,
    "ResourceConfig": RESOURCES,
    "VpcConfig": VPC,
    "StoppingCondition": STOPPING,
    "Tags": TAGS,
    "EnableNetworkIsolation": NETWORK_ISOLATION,
    "EnableInterContainerTrafficEncryption": TRAFFIC_ENCRYPTION,
    "EnableManagedSpotTraining": SPOT,
    "CheckpointConfig": CHECKPOINTS,
    "DebugHookConfig": {
        "LocalPath": works("a folder below /opt/ml"),
        "S3OutputPath": works("file:// folders too"),
        "HookParameters": WORKS,
        "CollectionConfigurations": {"CollectionName": WORKS, "CollectionParameters": WORKS},
    },
    "DebugRuleConfigurations": _RULE,
    "TensorBoardOutputConfig": {
        "LocalPath": works("a folder below /opt/ml"),
        "S3OutputPath": works("file:// folders too"),
    },
    "ExperimentConfig": no_meaning("there are no experiments"),
    "ProfilerConfig": _PROFILER,
    "ProfilerRuleConfigurations": _RULE,
    "Environment": WORKS,
    "RetryStrategy": RETRIES,
    "RemoteDebugConfig": _REMOTE_DEBUG,
    "InfraCheckConfig": no_meaning("there are no instances to check"),
    "SessionChainingConfig": no_meaning("no role is assumed"),
    "ServerlessJobConfig": refused("it is for AWS's own models; pass AlgorithmSpecification and ResourceConfig"),
    "MlflowConfig": refused("there is no MLflow server; pass MLFLOW_TRACKING_URI in Environment"),
    "ModelPackageConfig": refused("there is no model registry; leave it out"),
}

OPERATIONS: Table = {
    "CreateTrainingJob": CREATE_TRAINING_JOB,
    "DescribeTrainingJob": {"TrainingJobName": WORKS},
    "ListTrainingJobs": {
        **PAGES,
        **TIMES,
        "NameContains": WORKS,
        "StatusEquals": WORKS,
        "SortBy": works(only=("CreationTime", "Name", "Status")),
        "SortOrder": SORT_ORDER,
        "WarmPoolStatusEquals": works(
            "there are no warm pools, so the list is empty", only=("Available", "InUse", "Reused", "Terminated")
        ),
        "TrainingPlanArnEquals": refused("there are no training plans; leave it out"),
    },
    "UpdateTrainingJob": {
        "TrainingJobName": WORKS,
        "ProfilerConfig": _PROFILER,
        "ProfilerRuleConfigurations": _RULE,
        "ResourceConfig": refused("there are no instances to keep warm; leave it out"),
        "RemoteDebugConfig": _REMOTE_DEBUG,
    },
    "StopTrainingJob": {"TrainingJobName": WORKS},
    "DeleteTrainingJob": {"TrainingJobName": WORKS},
}
