"""What this project has created in SageMaker and what still exists: lists it with its price, and deletes it."""
