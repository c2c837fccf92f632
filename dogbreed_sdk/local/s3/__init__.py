"""The objects of local SageMaker's S3: ordinary files below the root folder, with an index beside them."""
