"""The floor: the least that can stand between a signal's commit and its order's first byte.

A blocking script with nothing of ours in it but the bytes: it waits for the same notification, makes the same order's
hash and the same signature with coincurve, calls the same claim function on a psycopg connection that holds the
executor's lock, and writes one HTTP request on a connection that is open already. It reads no gate, knows no limits, no
lease, no time-out and no second signal; what the claim is given was worked out for it before.
"""

import base64
import hashlib
import hmac
import json
import re
import socket
import sys
from typing import Any
from urllib.parse import urlsplit

import psycopg
from coincurve import PrivateKey
from Crypto.Hash import keccak

from shared.db.lock import EXECUTOR_LOCK_KEY
from tests.factories import CLOCK

ORDER_TYPE = (
    b"Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,uint256 takerAmount,uint8 side,"
    b"uint8 signatureType,uint256 timestamp,bytes32 metadata,bytes32 builder)"
)
NESTED_TYPE = (
    b"TypedDataSign(Order contents,string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
    + ORDER_TYPE
)
CLAIM = "SELECT refused, claimed_at FROM claim_entry(%s, %s, %s, %s, %s)"
CHAIN_ID = 137


def digest(*parts: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=b"".join(parts)).digest()


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def address(text: str) -> bytes:
    return bytes(12) + bytes.fromhex(text[2:])


ORDER_TYPE_HASH = digest(ORDER_TYPE)
NESTED_TYPE_HASH = digest(NESTED_TYPE)
WALLET_NAME_HASH, ONE_HASH = digest(b"DepositWallet"), digest(b"1")
TRAILER = ORDER_TYPE + len(ORDER_TYPE).to_bytes(2, "big")


class Floor:
    """One account's everything, ready."""

    def __init__(self, setting: dict[str, Any]) -> None:
        self.listening = psycopg.connect(setting["url"], autocommit=True)
        self.claiming = psycopg.connect(setting["url"], autocommit=True)
        self.claiming.execute("SELECT pg_advisory_lock(%s)", [EXECUTOR_LOCK_KEY])
        row = self.claiming.execute("SELECT take_epoch('floor')").fetchone()
        assert row is not None
        self.epoch = row[0]
        self.listening.execute("LISTEN signal_created")
        self.key = PrivateKey(bytes.fromhex(setting["private_key"][2:]))
        self.wallet: str = setting["wallet"]
        self.login: dict[str, str] = setting["login"]
        self.secret = base64.urlsafe_b64decode(self.login["secret"])
        self.separator = bytes.fromhex(setting["separator"])
        place = urlsplit(setting["clob_url"])
        self.host = place.netloc
        self.venue = socket.create_connection((place.hostname, place.port))
        self.venue.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def turn(self, given: dict[str, Any]) -> dict[str, Any]:
        """Wait for one signal's notification and send its order; returns what the venue said."""
        order, evidence = given["order"], given["evidence"]
        while next(self.listening.notifies(stop_after=1)).payload != given["signal_id"]:
            pass
        struct = digest(
            ORDER_TYPE_HASH, word(order["salt"]), address(self.wallet), address(self.wallet), word(int(order["token_id"])),
            word(given["maker_micro"]), word(given["taker_micro"]), word(0), word(3), word(order["timestamp_ms"]), bytes(64),
        )  # fmt: skip
        order_id = "0x" + digest(b"\x19\x01", self.separator, struct).hex()
        nested = digest(
            NESTED_TYPE_HASH,
            struct,
            WALLET_NAME_HASH,
            ONE_HASH,
            word(CHAIN_ID),
            address(self.wallet),
            bytes(32),
        )
        signed = self.key.sign_recoverable(digest(b"\x19\x01", self.separator, nested), hasher=None)
        signature = "0x" + (signed[:64] + bytes([signed[64] + 27]) + self.separator + struct + TRAILER).hex()
        body = self.body(given, signature)
        row = self.claiming.execute(
            CLAIM,
            (self.epoch, given["signal_id"], json.dumps({**order, "order_id": order_id}), body, evidence),
            prepare=True,
        ).fetchone()
        assert row is not None
        assert row[0] is None, f"the floor's claim was refused: {row[0]}"
        self.venue.sendall(self.request(body))
        return {"order_id": order_id, "salt": order["salt"], "answer": self.answer()}

    def body(self, given: dict[str, Any], signature: str) -> str:
        order = given["order"]
        return json.dumps(
            {
                "deferExec": False,
                "order": {
                    "builder": "0x" + "00" * 32, "expiration": "0", "maker": self.wallet,
                    "makerAmount": str(given["maker_micro"]), "metadata": "0x" + "00" * 32, "salt": order["salt"],
                    "side": "BUY", "signature": signature, "signatureType": 3, "signer": self.wallet,
                    "takerAmount": str(given["taker_micro"]), "timestamp": str(order["timestamp_ms"]),
                    "tokenId": order["token_id"],
                },
                "orderType": order["order_type"],
                "owner": self.login["api_key"],
            },
            separators=(",", ":"),
        )  # fmt: skip

    def request(self, body: str) -> bytes:
        stamp = str(int(CLOCK.now().timestamp()))
        signature = hmac.new(self.secret, f"{stamp}POST/order{body}".encode(), hashlib.sha256).digest()
        return (
            f"POST /order HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: {len(body)}\r\n"
            f"POLY_ADDRESS: {self.login['address']}\r\nPOLY_SIGNATURE: {base64.urlsafe_b64encode(signature).decode()}\r\n"
            f"POLY_TIMESTAMP: {stamp}\r\nPOLY_API_KEY: {self.login['api_key']}\r\n"
            f"POLY_PASSPHRASE: {self.login['passphrase']}\r\nContent-Type: application/json\r\n\r\n{body}"
        ).encode()

    def answer(self) -> dict[str, Any]:
        read = b""
        while b"\r\n\r\n" not in read:
            read += self.venue.recv(65_536)
        head, _, body = read.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        assert length is not None, head
        while len(body) < int(length[1]):
            body += self.venue.recv(65_536)
        answer: dict[str, Any] = json.loads(body)
        return answer


def main() -> None:
    floor = Floor(json.loads(sys.stdin.readline()))
    print(json.dumps({"epoch": floor.epoch}), flush=True)
    for line in sys.stdin:
        given = json.loads(line)
        print(json.dumps("ready"), flush=True)
        print(json.dumps(floor.turn(given)), flush=True)


if __name__ == "__main__":
    main()
