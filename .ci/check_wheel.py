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
try:
    session = dogbreed_sdk.Session.local("root").boto3_session
except dogbreed_sdk.ConfigurationError as error:
    assert "dogbreed-sdk[local]" in str(error), error
else:
    raise AssertionError("local SageMaker without its packages must say what to install")
print("wheel: both packages, types, command and messages are there")
