"""Secrets in lines of other schedulers: what is found, what is not taken for one, and how long it takes."""

import json
import time

import pytest

from app.imports.secrets import Redactor

# Each line contains the word S3cretWord, and nothing else in it is secret.
SECRETS = (
    "curl https://x.example.com/cron.php?key=S3cretWord",
    "curl https://x.example.com/?a=1&sig=S3cretWord&b=2",
    r"curl https://x.example.com/?access_token=x\&sig=S3cretWord",
    "curl https://x.example.com/api/job?code=S3cretWordS3cretWord==",
    "curl -b 'session=S3cretWord' https://x.example.com/",
    "curl --cookie sid=S3cretWord https://x.example.com/",
    "curl --proxy-user me:S3cretWord https://x.example.com/",
    "curl -U me:S3cretWord https://x.example.com/",
    "curl -H 'Cookie: theme=dark; session=S3cretWord' https://x.example.com/",
    "curl -H 'Authorization: GenieKey S3cretWord' https://x.example.com/",
    "curl -H 'PRIVATE-TOKEN: S3cretWord' https://x.example.com/",
    "curl -H 'DD-API-KEY: S3cretWord' https://x.example.com/",
    "curl -d text=hi https://hooks.slack.com/services/T000/B000/S3cretWord",
    "curl https://discord.com/api/webhooks/123456/S3cretWord",
    "curl -x http://me:S3cretWord@proxy:3128 https://x.example.com/",
    "http -a me:S3cretWord https://x.example.com/",
    "mysqldump -uroot -p'S3cretWord' shop",
    'mysql -u root -p"S3cretWord" shop',
    "mongodump -u me -p 'S3cretWord'",
    "sshpass -p 'S3cretWord' ssh me@host true",
    "sshpass -pS3cretWord ssh me@host true",
    "mosquitto_pub -u me -P S3cretWord -t a -m b",
    "ldapsearch -x -D cn=admin -w S3cretWord -b dc=x",
    "openssl enc -k S3cretWord -in a -out b",
    "openssl enc -aes256 -pass pass:S3cretWord -in a",
    "7z a -pS3cretWord /srv/a.7z /srv/a",
    "zip -P S3cretWord /srv/a.zip /srv/a",
    "sqlcmd -S host -U sa -P S3cretWord -Q 'select 1'",
    "sqlplus -s shop/S3cretWord@db @/opt/a.sql",
    "lftp -u me,S3cretWord ftp.example.com -e quit",
    "smbclient //srv/share -U 'me%S3cretWord' -c ls",
    "docker login -u me -p S3cretWord registry.example.com",
    "sendemail -xu me -xp S3cretWord -f a@example.com",
    "snmpget -v3 -A S3cretWord host",
    "snmpget -v3 -l authPriv -X S3cretWord host",
    "influx -username me -password S3cretWord",
    "aws configure set aws_secret_access_key S3cretWord",
    "htpasswd -b /etc/nginx/users me S3cretWord",
    "mc alias set store https://s3.example.com ME S3cretWord",
    "vault login S3cretWord",
    "echo S3cretWord | sudo -S reboot",
    "echo 'me:S3cretWord' | chpasswd",
    "echo 'password: S3cretWord' > /etc/a.yaml",
    "/opt/a # Password: S3cretWord",
    "root:$6$abcdefgh$S3cretWordS3cretWordS3cretWord:19000:0",
    "-----BEGIN RSA PRIVATE KEY-----\nS3cretWord\n-----END RSA PRIVATE KEY-----",
)
# Where a secret has digits only.
PINS = (
    "/opt/a --pin 481516",
    "pkcs11-tool --login --user-pin=481516 -O",
    "CARD_PIN=481516 /opt/a",
    "/opt/a --passcode '481516'",
    """curl -d '{"pin": "481516"}' https://x.example.com/""",
    """curl -d '{"user_pin": 481516, "a": 1}' https://x.example.com/""",
    """curl -d '{"password": 481516}' https://x.example.com/""",
    'curl -d "{\\"password\\": 481516}" https://x.example.com/',
)
# Lines without a secret, some of which look as if they had one.
HARMLESS = (
    "docker run -p 8080:80 -v /srv:/srv web",
    "ssh -p 2222 me@host true",
    "mysqldump -p shop",
    "mysqldump --password-file=/etc/a shop",
    "curl -b cookies.txt https://x.example.com/",
    "curl https://x.example.com/?code=de&page=2",
    "cp -a /srv/keys: /srv/b",
    "openssl enc -pass file:/etc/key -in a",
    "/opt/a --token $TOKEN --password $(cat /etc/a)",
    "curl -H 'Idempotency-Key: abc' https://x.example.com/",
    "curl -H 'Content-Type: application/json' https://x.example.com/",
    "zip -r /srv/a.zip /srv/a",
    "tar -czp -f /srv/a.tgz /srv/a",
    "unzip -p /srv/a.zip",
    "snmpd -Lf /var/log/snmpd.log",
    "/opt/a --pin-count 4815 --spin 4815 --pin 17 --max-tokens 4096",
    """curl -d '{"shipping": 4815, "tokens": 4815}' https://x.example.com/""",
)
# Texts that make an expression with nested or unbounded repeats slow.
HOSTILE = ("a", "a.", "mysql ", "--pass", "x-", "a://", "eyJ", "cookie:", '"pass', "&a", " -p", "$6$", "echo ", "'x-key:", "http -a x")


@pytest.mark.parametrize("line", SECRETS)
def test_a_secret_is_replaced(line: str) -> None:
    redactor = Redactor()
    assert "S3cretWord" not in redactor.redact(line)
    assert redactor.found


@pytest.mark.parametrize("line", [*SECRETS, *PINS])
def test_a_secret_of_digits_is_replaced_too(line: str) -> None:
    redactor = Redactor()
    assert "481516" not in redactor.redact(line.replace("S3cretWord", "4815162342"))
    assert redactor.found


def test_values_of_digits_with_the_name_of_a_secret_are_replaced() -> None:
    secret = {"password": "481516", "DB_PASSWORD": 481516, "pin": "4815", "user_pin": 4815, "token": 48.15, "secret": ["481516", 481516]}
    plain = {
        "auth": 1,
        "use_token": "0",
        "led_pin": 17,
        "max_tokens": 4096,
        "auth_port": 1812,
        "shipping": 777,
        "PARTITION_KEY": 12,
        "on": True,
    }
    redactor = Redactor()
    redacted = redactor.redact_json({**secret, **plain, "env": [{"name": "DB_PASS", "value": "481516"}]})
    assert "48" not in json.dumps(redacted)
    assert len(redactor.found) == 8
    assert {name: redacted[name] for name in plain} == plain
    assert Redactor().redact_value("SMTP_PASS", "4815") == "‹secret-1›"


@pytest.mark.parametrize("line", HARMLESS)
def test_a_line_without_a_secret_stays_as_it_is(line: str) -> None:
    assert Redactor().redact(line) == line


@pytest.mark.parametrize("piece", HOSTILE)
def test_the_time_grows_with_the_length_and_not_faster(piece: str) -> None:
    def seconds(length: int) -> float:
        started = time.process_time()
        Redactor().redact(piece * (length // len(piece)))
        return time.process_time() - started

    # Ten times as long: quadratic would be a hundred times. The addend covers what a busy machine adds to very short times.
    assert seconds(100_000) < 40 * seconds(10_000) + 0.5
