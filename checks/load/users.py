"""Many concurrent signed-in users, by Locust: ``python -m checks.load.users``, in the environment of
requirements/load.in.

Each user asks, reads the whole answer, compares it with the only correct one, and asks again. Half of them
stream. The command prints one JSON object: requests by outcome, percentiles of whole answers and first tokens,
and samples of the processes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from itertools import cycle
from pathlib import Path
from typing import Any

import gevent
import psutil
from locust import HttpUser, events, task
from locust.env import Environment
from locust.stats import StatsEntry

from checks.load.answers import TEXT

REFUSED = (429, 503)
PERCENTILES = (0.5, 0.95, 0.99)
REFUSAL_PAUSE = 1.0
"""Pause in seconds of a user who was refused without ``Retry-After``, which OpenAI's clients obey up to a minute."""
SAMPLE_SECONDS = 0.2


class Asker(HttpUser):
    """One person, who asks again as soon as there is an answer."""

    tokens: Any = cycle([""])
    numbers: Any = cycle([0])
    ids: list[str] = []
    refusals: list[tuple[float, str]] = []
    began = 0.0

    def on_start(self) -> None:
        self.token = next(self.tokens)
        self.streams = next(self.numbers) % 2 == 1

    @task
    def ask(self) -> None:
        began = time.perf_counter()
        body = {
            "model": "claims-desk",
            "stream": self.streams,
            "messages": [{"role": "user", "content": "What is the deductible for water damage?"}],
        }
        with self.client.post(
            "/v1/chat/completions",
            json=body,
            headers={"authorization": f"Bearer {self.token}"},
            stream=self.streams,
            catch_response=True,
            timeout=150,
            name="streamed" if self.streams else "whole",
        ) as answer:
            if answer.status_code in REFUSED:
                answer.request_meta["name"] = f"refused {answer.status_code}"
                wait = answer.headers.get("retry-after")
                self.refusals.append((time.perf_counter() - self.began, _code(answer)))
                answer.failure(f"{answer.status_code}" + ("" if wait else " without Retry-After"))
                gevent.sleep(float(wait or REFUSAL_PAUSE))
                return
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")
                return
            text = (
                self._streamed(answer, began)
                if self.streams
                else answer.json()["choices"][0]["message"]["content"]
            )
            # Locust measured the time of the headers, but the answer has arrived only now.
            answer.request_meta["response_time"] = (time.perf_counter() - began) * 1000
            if text.strip() != TEXT.strip():
                answer.failure("corrupted answer")
            else:
                self.ids.append(answer.headers["x-interaction-id"])
                answer.success()

    def _streamed(self, answer: Any, began: float) -> str:
        text, done = "", False
        for line in answer.iter_lines():
            data = (line.decode() if isinstance(line, bytes) else line).removeprefix("data: ").strip()
            if data == "[DONE]":
                done = True
            elif data:
                piece = json.loads(data)
                if "error" in piece:
                    return f"error: {piece['error'].get('code')}"
                for choice in piece.get("choices", []):
                    part = choice["delta"].get("content") or ""
                    if part and not text:
                        seconds = (time.perf_counter() - began) * 1000
                        self.environment.events.request.fire(
                            request_type="first", name="first token", response_time=seconds, response_length=0,
                            exception=None, context={},
                        )  # fmt: skip
                    text += part
        return text if done else f"{text} (cut)"


def _code(answer: Any) -> str:
    """Return the code of a refusal in OpenAI's form, or its status."""
    try:
        return str(answer.json()["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"


class Samples:
    """CPU and memory of processes while the load runs."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._cpu = {name: _cpu(process) for name, process in self._processes.items()}
        self._began = time.perf_counter()
        self.memory: list[tuple[float, int]] = []

    def watch(self) -> None:
        """Sample until the greenlet is killed."""
        while "assistant" in self._processes:
            resident = self._processes["assistant"].memory_info().rss
            self.memory.append((time.perf_counter() - self._began, resident))
            gevent.sleep(SAMPLE_SECONDS)

    def cpu(self) -> dict[str, float]:
        """Return the number of cores that each process used."""
        seconds = time.perf_counter() - self._began
        return {name: (_cpu(each) - self._cpu[name]) / seconds for name, each in self._processes.items()}


def _cpu(process: Any) -> float:
    every = [process, *process.children(recursive=True)]
    return sum(sum(each.cpu_times()[:2]) for each in every)


def _percentiles(entry: StatsEntry | None) -> dict[str, float] | None:
    if entry is None or not entry.num_requests:
        return None
    return {
        f"p{round(share * 100)}": entry.get_response_time_percentile(share) / 1000 for share in PERCENTILES
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run one stage: ``options.users`` at once for ``options.seconds``, then until those who wait
    have their answers."""
    tokens = json.loads(Path(options.tokens).read_text())
    Asker.tokens, Asker.numbers, Asker.ids = cycle(tokens), iter(range(10**9)), []
    Asker.refusals, Asker.began = [], time.perf_counter()
    environment = Environment(user_classes=[Asker], host=options.host, events=events, stop_timeout=130)
    runner = environment.create_local_runner()
    samples = Samples(json.loads(options.pids))
    sampler = gevent.spawn(samples.watch)
    began = time.perf_counter()
    runner.start(options.users, spawn_rate=options.users)
    gevent.sleep(options.seconds)
    runner.stop()
    seconds = time.perf_counter() - began
    sampler.kill()
    stats = environment.stats
    outcomes: dict[str, int] = {}
    for entry in stats.entries.values():
        if entry.method != "first" and entry.num_requests - entry.num_failures:
            outcomes["answered"] = outcomes.get("answered", 0) + entry.num_requests - entry.num_failures
    for error in stats.errors.values():
        outcomes[str(error.error)] = outcomes.get(str(error.error), 0) + error.occurrences
    return {
        "users": options.users,
        "seconds": seconds,
        "outcomes": outcomes,
        "refusals": Asker.refusals,
        "requests_per_second": outcomes.get("answered", 0) / seconds,
        "answers": {name: _percentiles(stats.entries.get((name, "POST"))) for name in ("whole", "streamed")},
        "first_token": _percentiles(stats.entries.get(("first token", "first"))),
        "cpu_cores": samples.cpu(),
        "memory": samples.memory,
        "interaction_ids": Asker.ids,
    }


def main() -> None:
    """Run one stage and print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", required=True)
    parser.add_argument(
        "--tokens", required=True, help="a file with a JSON list of ID tokens, one for each user"
    )
    parser.add_argument("--pids", default="{}", help="processes to sample, as a JSON object of names and ids")
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    json.dump(run(parser.parse_args()), sys.stdout)


if __name__ == "__main__":
    main()
