"""How far local SageMaker supports each member of each request: it works, has no meaning here, or is refused."""
