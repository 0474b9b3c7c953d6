"""Amazon SageMaker: the MLflow App, Processing and Ground Truth."""
