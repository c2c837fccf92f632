"""The client: turns a picture into a request, sends it to a model, and parses the response.

classifier, async_classifier   BreedClassifier and AsyncBreedClassifier
options, argument_checks       their settings and arguments
images                         a picture -> the bytes of a request (formats and limits: training_scripts.data)
invoker, retries               one request with the retry policy (its numbers: dogbreed_sdk.defaults)
transports                     endpoint (boto3), server (HTTP), bundle (in this process); deadlines
responses, label_cache         the bytes of a response -> a Prediction
batch, batch_async             many pictures, in input order; daemon_pool has their threads
downloads                      pictures from URLs, through the URL guard (training_scripts.data.safe_fetch)
"""
