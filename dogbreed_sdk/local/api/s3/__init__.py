"""S3's API: the REST-XML protocol over the objects of `local.s3`."""
