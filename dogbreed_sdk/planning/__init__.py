"""What training, tuning and an endpoint will cost and take on AWS, before anything is created."""
