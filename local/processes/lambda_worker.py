"""The process of a Lambda function: reads events from stdin and answers on a pipe of its own. It is run by its
path, and imports only the function's code."""

import importlib
import json
import os
import sys
import traceback


class LambdaContext:
    """The parts of Lambda's context object that need no service."""

    def __init__(self, request_id: str) -> None:
        self.aws_request_id = request_id
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.function_version = "$LATEST"


def main() -> None:
    sys.path[0] = str(os.getcwd())  # noqa: PTH109 - replaces this file's directory
    module_name, _, function_name = sys.argv[1].rpartition(".")
    with os.fdopen(int(sys.argv[2]), "w") as answers:
        handler = getattr(importlib.import_module(module_name.replace("/", ".")), function_name)
        for line in sys.stdin:
            request = json.loads(line)
            try:
                answer = json.dumps({"result": handler(request["event"], LambdaContext(request["id"]))})
            except Exception as error:  # noqa: BLE001 - whatever the function raises is its answer
                traceback.print_exc()
                message = {
                    "errorMessage": str(error),
                    "errorType": type(error).__name__,
                    "stackTrace": traceback.format_tb(error.__traceback__),
                }
                answer = json.dumps({"error": message})
            answers.write(answer + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
