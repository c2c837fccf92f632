"""The Python that runs scripts and model servers, and the packages that they ask for."""
