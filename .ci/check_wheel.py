"""Looks at the installed package as somebody who installs the wheel would: both packages, typed, helpful messages."""

import importlib
import importlib.metadata
import importlib.resources
import sys

import dogbreed_sdk

assert "boto3" not in sys.modules, "bare import loads boto3"
assert dogbreed_sdk.BreedClassifier
assert importlib.metadata.version("dogbreed-sdk") == dogbreed_sdk.__version__
assert importlib.import_module("training_scripts.training.hyperparameters")
assert importlib.resources.files("dogbreed_sdk").joinpath("py.typed").is_file()
assert importlib.resources.files("training_scripts").joinpath("requirements.txt").is_file()
# What other Pythons than this one load, by its path: scripts of jobs, model servers' code, and `dogbreed local run`.
for file in (
    "local/aws_redirect/dogbreed_local_aws.py",
    "local/launcher.py",
    "local/python/python_facts.py",
    "local/start_up/sitecustomize.py",
    "local/start_up/_dogbreed_start_up/stand_in/smdebug/pytorch/hook.py",
    "model_server/stand_in/sagemaker_inference/decoder.py",
):
    assert importlib.resources.files("dogbreed_sdk").joinpath(file).is_file(), f"{file} is missing"
try:
    session = dogbreed_sdk.Session.local("root").boto3_session
except dogbreed_sdk.ConfigurationError as error:
    assert "dogbreed-sdk[local]" in str(error), error
else:
    raise AssertionError("local SageMaker without its packages must say what to install")
print("wheel: both packages, types, command and messages are there")
