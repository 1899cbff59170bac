"""Making a bucket, through boto3: obstore reads and writes buckets and makes none."""

from __future__ import annotations

import importlib.util

from daintree.errors import StoreError
from daintree.s3_access import DEFAULT_REGION
from daintree.store.bucket import Bucket
from daintree.store.bucket_errors import CHECK_KEYS

INSTALL = "pip install 'daintree[s3]'"
_THERE = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


def make_bucket(bucket: Bucket) -> None:
    """Make the bucket; nothing where it is there already. Raises StoreError."""
    if importlib.util.find_spec("boto3") is None:
        raise StoreError("boto3, which makes buckets, is not installed", hint=INSTALL)
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    access = bucket.access
    client = boto3.client(
        "s3",
        endpoint_url=access.endpoint or None,
        region_name=access.region,
        aws_access_key_id=access.access_key or None,
        aws_secret_access_key=access.secret_key or None,
        aws_session_token=access.session_token or None,
        config=Config(connect_timeout=5, retries={"mode": "standard", "max_attempts": 3}),
    )
    place = {"LocationConstraint": access.region}
    more = {} if access.region == DEFAULT_REGION else {"CreateBucketConfiguration": place}
    try:
        client.create_bucket(Bucket=bucket.name, **more)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        if code not in _THERE:
            raise StoreError(
                f"{access.server} does not make the bucket {bucket.name} ({code})", hint=CHECK_KEYS
            ) from None
    except (BotoCoreError, ValueError) as error:
        raise StoreError(
            f"the bucket {bucket.name} cannot be made: {access.server} cannot be reached ({type(error).__name__})",
            hint="check MINIO_ENDPOINT",
        ) from None
