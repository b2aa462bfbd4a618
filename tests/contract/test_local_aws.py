"""The embedded AWS endpoint: keeps its state over restarts, isolates transactions, rolls back what fails."""

import signal
import threading
import time
from decimal import Decimal
from pathlib import Path

import boto3
import pytest

from dora_bot.dynamo import Condition, ConditionFailed, Dynamo
from dora_bot.errors import ConfigError, StoreError
from dora_bot.items import DECISION_LOG, STATE, TABLES, TRADE_LOG
from dora_bot.local_aws import run_local_aws
from dora_bot.tables import check_tables, create_tables
from tests.fakes.aws import LocalAwsProcess
from tests.plugins.aws import use_endpoint

pytestmark = pytest.mark.process


def wait_for_text(path: Path, text: str) -> None:
    deadline = time.monotonic() + 20
    while not (path.exists() and text in path.read_text(encoding="utf-8")):
        assert time.monotonic() < deadline, f"{text!r} never appeared in {path}"
        time.sleep(0.05)


def test_tables_items_topics_and_secrets_survive_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = {
        "date": "2026-11-20",
        "timestamp#order_id": "x",
        "n": Decimal("0.000001"),
        "flag": True,
        "none": None,
        "list": [Decimal(1), {"deep": "ü"}],
    }
    with LocalAwsProcess(tmp_path) as first:
        use_endpoint(monkeypatch, first.url)
        db = Dynamo.connect("kept_")
        create_tables(db, live=False)
        db.put(TRADE_LOG, item)
        seeded = db.get(STATE, {"key": "global_config"})
        sns, secrets = boto3.client("sns", "us-east-1"), boto3.client("secretsmanager", "us-east-1")
        topic = sns.create_topic(Name="alerts")["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="https", Endpoint="https://127.0.0.1:1/hook")
        secrets.create_secret(Name="key", SecretString='{"key_id": "k"}')
        for client in (sns, secrets, db):
            client.close()
        assert first.stop() == 0
    with LocalAwsProcess(tmp_path) as second:
        use_endpoint(monkeypatch, second.url)
        db = Dynamo.connect("kept_")
        assert [status.status for status in check_tables(db)] == ["ok"] * len(TABLES)
        assert db.get(TRADE_LOG, {"date": "2026-11-20", "timestamp#order_id": "x"}) == item
        assert db.get(STATE, {"key": "global_config"}) == seeded
        told = db.client.describe_time_to_live(TableName=db.name(DECISION_LOG))["TimeToLiveDescription"]
        assert told["AttributeName"] == "expires_at"
        sns, secrets = boto3.client("sns", "us-east-1"), boto3.client("secretsmanager", "us-east-1")
        assert [s["TopicArn"] for s in sns.list_subscriptions()["Subscriptions"]] == [topic]
        assert secrets.get_secret_value(SecretId="key")["SecretString"] == '{"key_id": "k"}'
        for client in (sns, secrets, db):
            client.close()


def test_what_was_saved_survives_a_kill_and_a_half_written_file_is_never_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalAwsProcess(tmp_path) as first:
        use_endpoint(monkeypatch, first.url)
        db = Dynamo.connect("kill_")
        create_tables(db, live=False)
        db.put(STATE, {"key": "before the kill"})
        db.close()
        wait_for_text(tmp_path / "local-aws.json", "before the kill")
        first.stop(signal.SIGKILL)
    with LocalAwsProcess(tmp_path) as second:
        use_endpoint(monkeypatch, second.url)
        db = Dynamo.connect("kill_")
        assert db.get(STATE, {"key": "before the kill"})
        db.close()


def test_a_directory_or_port_in_use_is_refused_with_the_remedy(
    tmp_path: Path, local_aws: LocalAwsProcess
) -> None:
    with LocalAwsProcess(tmp_path), pytest.raises(ConfigError, match="choose another --state"):
        run_local_aws(0, tmp_path)
    port = int(local_aws.url.rpartition(":")[2])
    with pytest.raises(ConfigError, match="choose another --port"):
        run_local_aws(port, None)


def test_a_damaged_state_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "local-aws.json").write_text('{"tables": [{"name"', encoding="utf-8")
    with pytest.raises(StoreError, match="move it away"):
        run_local_aws(0, tmp_path)
    assert (tmp_path / "local-aws.json").read_text(encoding="utf-8") == '{"tables": [{"name"'


def test_transactions_of_many_threads_are_isolated(db: Dynamo) -> None:
    """Eight threads add one to a versioned counter, 10 times each, by conditional transactions."""
    db.put(STATE, {"key": "counter", "version": Decimal(0)})

    def add(thread: int) -> None:
        for number in range(10):
            while True:
                version = db.get(STATE, {"key": "counter"})["version"]
                marker = {"date": "d", "timestamp#order_id": f"{thread}-{number}"}
                counter = {"key": "counter", "version": version + 1}
                try:
                    db.transact(
                        [
                            db.put_action(
                                TRADE_LOG, marker, Condition("attribute_not_exists(#d)", {"#d": "date"})
                            ),
                            db.put_action(
                                STATE, counter, Condition("#v = :v", {"#v": "version"}, {":v": version})
                            ),
                        ]
                    )
                    break
                except ConditionFailed:
                    continue

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert db.get(STATE, {"key": "counter"})["version"] == 80
    assert len(list(db.query(TRADE_LOG, "d"))) == 80


def test_a_failed_transaction_leaves_every_kind_of_change_undone(db: Dynamo) -> None:
    db.put(STATE, {"key": "kept", "n": Decimal(1)})
    table = db.name(STATE)
    never = {
        "Put": {
            "TableName": table,
            "Item": {"key": {"S": "kept2"}},
            "ConditionExpression": "attribute_exists(n)",
        }
    }
    for change in (
        {"Put": {"TableName": table, "Item": {"key": {"S": "new"}}}},
        {"Delete": {"TableName": table, "Key": {"key": {"S": "kept"}}}},
        {
            "Update": {
                "TableName": table,
                "Key": {"key": {"S": "kept"}},
                "UpdateExpression": "SET n = :n",
                "ExpressionAttributeValues": {":n": {"N": "2"}},
            }
        },
    ):
        with pytest.raises(ConditionFailed):
            db.transact([change, never])
    found = sorted((item["key"], item.get("n")) for item in db.scan(STATE) if item["key"] != "global_config")
    assert found == [("kept", Decimal(1))]
