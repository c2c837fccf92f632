"""A folder for PYTHONPATH: its module sends what programs address to AWS to local SageMaker."""
