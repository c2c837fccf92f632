"""dogbreed-sdk: the whole life of an image classifier, on Amazon SageMaker or on one machine."""
