"""What inference.py files import of AWS's sagemaker-inference toolkit: content types, codecs, errors."""
