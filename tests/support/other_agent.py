"""A small metering agent for the wire contract, version 2, written from its page alone."""

import argparse
import base64
import gzip
import hashlib
import json
import os
import queue
import secrets
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion

ZEROS = "0" * 64
SETTLES_NOTHING = ("unsupported_version", "foreign_config", "wrong_topic")
Json = dict[str, Any]


def canonical(value: Any) -> bytes:
    """Canonical JSON of a value."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def sha256(data: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def now_ms() -> int:
    """Wall clock in ms UTC."""
    return time.time_ns() // 1_000_000


@dataclass
class Row:
    """One signed batch, retained also when it is settled, as an ack may regress."""

    epoch: str
    seq: int
    line: str
    sig: str
    part: str | None  # digest of the body of a `config` batch
    settled: bool = False
    held: bool = False
    tries: int = 0
    due: float = 0.0


def link_part(letter: str, profile: str) -> Json:
    """The configuration of one link with its meter."""
    point: Json = {"quantity": "energy_import", "unit": "Wh", "scale": "1", "period_ms": 60_000}
    point |= {"registers": ["3:0:2"], "has_source_time": False}
    meter: Json = {"meter": f"main-{letter}", "profile": profile, "address": f"link-{letter}:1", "serial": "SN"}
    meter |= {"firmware": "", "ct": "1", "pt": "1", "side": "secondary", "points": [point]}
    return {"form": "link", "link": f"link-{letter}", "meters": [meter]}


class Agent:
    """Appends batches, publishes them, and follows the acks."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Load key and state, and begin an epoch if there is none; connect nothing yet."""
        self.args, self.path, self.boot = args, Path(args.state), secrets.token_hex(8)
        self.key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(Path(args.key_file).read_text()))
        self.key_id = sha256(self.key.public_key().public_bytes_raw())[:16]
        self.tree, self.own = f"pue/v1/{args.shard}", f"pue/v1/{args.shard}/{args.agent}"
        self.inbox: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.collector_online = False  # until it or an ack says so
        self.doubted: set[str] = set()  # epochs whose latest ack regressed, for the first time
        self.state: Json = {"epoch": None, "prev": ZEROS, "config": None, "cycles": 0, "generation": 0, "upto": {}}
        self.rows: list[Row] = []
        self.first_run = not self.path.exists()
        if self.first_run:
            self.open_epoch()
        else:
            self.state = json.loads(self.path.read_text(encoding="utf-8"))
            wait = time.monotonic() + 2  # the acks that answer `online` come first
            self.rows = [Row(**{**row, "held": False, "tries": 0, "due": wait}) for row in self.state.pop("rows")]

    def open_epoch(self) -> None:
        """Begin an epoch, later than the one before."""
        old: str | None = self.state["epoch"]
        created = max(now_ms(), int(old[:12], 16) + 1 if old else 0)
        self.state |= {"prev_epoch": old, "epoch": f"{created:012x}{secrets.token_hex(4)}", "seq": 0}

    def save(self) -> None:
        """Replace the state file, durably."""
        temporary = self.path.with_name(self.path.name + ".tmp")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump({**self.state, "rows": [asdict(row) for row in self.rows]}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)

    def append(self, kind: str, body: Json) -> None:
        """Sign a batch and keep it with the state that it leads to."""
        state, config = self.state, kind == "config"
        state["seq"] += 1
        head: Json = {name: state[name] for name in ("epoch", "prev_epoch", "seq", "prev")}
        head |= {"kind": kind, "v": 2, "site": self.args.site, "agent": self.args.agent, "alg": "Ed25519"}
        head |= {"key": self.key_id, "boot": self.boot, "config": None if config else state["config"]}
        line = canonical({**head, "sent_ms": now_ms(), "mono_ns": time.monotonic_ns(), "body": body})
        sig = base64.b64encode(self.key.sign(line)).decode()
        part = sha256(canonical(body)) if config else None
        state["prev"] = sha256(line)
        self.rows.append(Row(state["epoch"], state["seq"], line.decode(), sig, part))
        self.save()

    def append_part(self, body: Json) -> str:
        """Append a part of the configuration unless this epoch has it; its digest."""
        digest = sha256(canonical(body))
        if all((row.epoch, row.part) != (self.state["epoch"], digest) for row in self.rows):
            self.append("config", body)
        return digest

    def configure(self) -> None:
        """Append the parts of the configuration that are new, and the manifest last."""
        name, text = self.args.profile, Path(self.args.profile_file).read_bytes().decode()
        manifest: Json = {"form": "manifest", "site": self.args.site, "agent": self.args.agent}
        manifest["software"] = "other-agent 1"
        manifest["profiles"] = [self.append_part({"form": "profile", "profile": name, "text": text})]
        manifest["links"] = [self.append_part(link_part(letter, name)) for letter in "ab"]
        self.state["config"] = self.append_part(manifest)

    def cycle(self, n: int) -> None:
        """Append the readings of one cycle."""
        lost, a, b = n % 3 == 2, 10 * n, 20 * n
        body: Json = {"base_ms": self.args.first_ms + n * 60_000, "point_step": [0, 1], "t0_step": [0, 5]}
        body |= {"dt": [20, 20], "raw": [f"{a:08x}", "" if lost else f"{b:08x}"]}
        body |= {"count": [a, None if lost else b], "quality": [0, int(lost)]}  # 1 is TIMEOUT
        self.state["cycles"] = n + 1
        self.append("data", body)

    def make_batches(self) -> None:
        """Append all that this run has to say."""
        self.configure()
        first: int = self.state["cycles"]
        for n in range(first, first + self.args.cycles):
            self.cycle(n)
        body: Json = {"event": "clock_jump", "at_ms": now_ms(), "step_ms": 250}
        if not self.first_run:  # declared: the time between the runs
            to_ms = self.args.first_ms + first * 60_000
            body = {"event": "outage_declared", "from_ms": to_ms - 60_000, "to_ms": to_ms}
            body |= {"meters": ["main-b"], "reason": "restart", "by": "other-agent"}
        self.append("event", body)

    def hear(self, topic: str, payload: bytes) -> None:
        """Take in a message; pass over what is none, and what an earlier owner says."""
        try:
            message = json.loads(payload)
            if message["generation"] >= self.state["generation"]:
                self.state["generation"] = message["generation"]
                self.collector_online = topic == f"{self.own}/ack" or message["state"] == "online"
                if topic == f"{self.own}/ack":
                    self.follow(message, [row for row in self.rows if row.epoch == message["epoch"]])
                self.save()
        except (ValueError, KeyError, TypeError) as error:
            print(f"passed over a message on {topic}: {error!r}", file=sys.stderr)

    def follow(self, ack: Json, rows: list[Row]) -> None:
        """Settle, hold or free the batches of the epoch that an ack speaks of."""
        epoch, upto, own = ack["epoch"], ack["upto"], {row.seq: sha256(row.line.encode()) for row in rows}
        fits = upto == 0 or (upto in own and ack["sha256"] in (ZEROS, own[upto]))
        if epoch == self.state["epoch"] and not fits:
            return self.restore(ack)
        regress = upto < self.state["upto"].get(epoch, 0)
        if regress and epoch not in self.doubted:
            return self.doubted.add(epoch)
        self.doubted.discard(epoch)
        self.state["upto"][epoch] = upto
        done = [(1, upto), *ack["ranges"], *((seq, seq) for seq, code in ack["refused"] if code not in SETTLES_NOTHING)]
        for row in rows:
            inside = any(first <= row.seq <= last for first, last in done)
            if regress and row.settled and not inside:
                row.settled, row.tries, row.due = False, 0, 0.0
            row.settled = row.settled or inside
            row.held = any(first <= row.seq <= last for first, last in ack.get("held", []))
        return None

    def restore(self, ack: Json) -> None:
        """Go on in a new epoch, as collector and state disagree about this one."""
        body: Json = {"event": "restored", "old_epoch": self.state["epoch"], "head_seq": self.state["seq"]}
        body |= {"ack_upto": ack["upto"], "ack_sha256": ack["sha256"], "reason": "ack does not fit the state"}
        self.open_epoch()
        self.append("event", body)
        self.configure()

    def send_due(self) -> None:
        """Publish what is due; only the oldest batch while the collector is away."""
        wanted = [row for row in self.rows if not row.settled and not row.held]
        for row in wanted if self.collector_online else wanted[:1]:
            if row.due <= time.monotonic():
                row.tries += 1
                row.due = time.monotonic() + min(2.0**row.tries, 60.0)
                message = gzip.compress(f"{row.line}\n{row.sig}".encode())
                self.client.publish(f"{self.own}/data", message, qos=1)
                if row.part == self.state["config"]:
                    self.client.publish(f"{self.own}/meta", message, qos=1, retain=True)

    def connect(self) -> None:
        """Connect as an MQTT 5 client whose last will says `offline`."""
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=self.args.agent, protocol=mqtt.MQTTv5)
        self.client.will_set(*self.presence("offline"))
        self.client.on_connect = self.connected
        self.client.on_message = lambda _client, _data, heard: self.inbox.put((heard.topic, bytes(heard.payload)))
        self.client.connect_async(self.args.host, self.args.port)
        self.client.loop_start()

    def connected(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        """Subscribe, then say `online`, so that the acks that answer it are heard."""
        if not reason.is_failure:
            client.subscribe([(f"{self.own}/ack", 0), (f"{self.tree}/_/state", 1)])
            client.publish(*self.presence("online"))

    def presence(self, state: str) -> tuple[str, bytes, int, bool]:
        """Topic, content, QoS and retain flag of what the agent says of itself."""
        return f"{self.own}/state", canonical({"v": 1, "agent": self.args.agent, "state": state}), 1, True

    def run(self) -> str | None:
        """Make this run's batches and see them settled; what went wrong."""
        until = time.monotonic() + 30
        self.make_batches()
        self.connect()
        while (left := sum(not row.settled for row in self.rows)) and time.monotonic() < until:
            if self.client.is_connected():
                self.send_due()
            time.sleep(0.02)
            while not self.inbox.empty():
                self.hear(*self.inbox.get())
        if self.client.is_connected():
            self.client.publish(*self.presence("offline")).wait_for_publish(2)
        self.client.disconnect()
        self.client.loop_stop()
        held = sum(row.held for row in self.rows)
        return f"{left} of {len(self.rows)} batches not settled after 30 s, {held} held" if left else None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("host", "shard", "site", "agent", "key-file", "state", "profile-file", "profile"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("port", "cycles", "first-ms"):
        parser.add_argument(f"--{name}", required=True, type=int)
    sys.exit(Agent(parser.parse_args()).run())
