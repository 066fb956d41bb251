#!/usr/bin/env python3
"""moto-aws.py [FREE]

AWS on a free port of 127.0.0.1, as the package moto plays it, with signatures checked: by itself moto takes any. The account
123456789012 has a user with a key, a role, and a bucket named sources. One line of JSON on standard output says where it is and what the key is:

    {"url": "http://127.0.0.1:34567", "id": "AKIA...", "secret": "...", "role": "arn:aws:iam::123456789012:role/builder"}

FREE calls are taken unsigned at first, for operations that are not signed by design (0 if not given).
"""

import json
import logging
import sys
import time
import urllib.request

import boto3
from botocore.config import Config
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
url = f"http://{host}:{port}"

policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["ecr:*", "s3:*", "sts:*"], "Resource": "*"}]}
trust = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
}


def client(service):
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="setup",
        aws_secret_access_key="setup",
        config=Config(proxies={}),
    )


client("s3").create_bucket(Bucket="sources")
iam = client("iam")
iam.create_user(UserName="builder")
iam.put_user_policy(UserName="builder", PolicyName="builder", PolicyDocument=json.dumps(policy))
role = iam.create_role(RoleName="builder", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
iam.put_role_policy(RoleName="builder", PolicyName="builder", PolicyDocument=json.dumps(policy))
key = iam.create_access_key(UserName="builder")["AccessKey"]

free = sys.argv[1] if len(sys.argv) > 1 else "0"
request = urllib.request.Request(
    f"{url}/moto-api/reset-auth", data=free.encode(), headers={"Content-Type": "text/plain"}, method="POST"
)
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).read()

print(json.dumps({"url": url, "id": key["AccessKeyId"], "secret": key["SecretAccessKey"], "role": role}), flush=True)
while True:
    time.sleep(3600)
