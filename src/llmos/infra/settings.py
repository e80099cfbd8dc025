"""Settings: environment variables `LLMOS_*`, then `$LLMOS_HOME/llmos.toml`, then defaults.

Secrets that are not set are generated on the first run and kept in `$LLMOS_HOME/secrets`.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

KIB, MIB, GIB = 1024, 1024**2, 1024**3


class Settings(BaseSettings):
    """Every field can be set as `LLMOS_<FIELD>`; units are in the names."""

    model_config = SettingsConfigDict(env_prefix="LLMOS_", extra="ignore")

    home: Path = Field(Path("var"), description="Folder that holds everything of this instance.")
    host: str = Field("127.0.0.1", description="Address the web process listens on.")
    port: int = Field(8642, ge=1, le=65535, description="Port the web process listens on.")
    public_url: str | None = Field(
        None,
        description="Address users reach the instance at, if a proxy stands in front; "
        "by default the host each request names.",
    )
    trusted_proxies: str = Field(
        "127.0.0.1,::1", description="Addresses whose X-Forwarded-* headers are believed."
    )
    web_workers: int = Field(1, ge=1, le=64, description="Number of web processes.")
    threads: int = Field(16, ge=2, le=256, description="Threads for database and git work per web process.")

    cors_origins: str = Field(
        "",
        description="Origins (https://name, separated by commas) whose pages may use the API without a "
        "token; * means all. Pages may always do so with a token, and read public files.",
    )

    site_name: str = Field("LLMOS", description="Name shown in page titles.")
    signup: Literal["open", "invite", "closed"] = Field("open", description="Who may create an account.")
    default_locale: Literal["en", "zh"] = Field("en", description="Language when a visitor names none.")

    database_url: str | None = Field(
        None, description="SQLAlchemy URL; by default SQLite in the home folder."
    )
    storage_url: str | None = Field(
        None, description="Object store: a folder or s3://bucket/prefix; by default a folder in home."
    )
    storage_endpoint: str | None = Field(None, description="Address of an S3-compatible server.")
    storage_access_key: str | None = Field(None, description="Access key of the object store.")
    storage_secret_key: str | None = Field(None, description="Secret key of the object store.")
    storage_region: str = Field("us-east-1", description="Region of the object store.")
    storage_presign: bool = Field(
        False,
        description="Send clients straight to the object store for large files, down and up; it must be "
        "reachable from where they are.",
    )

    regular_file_limit_bytes: int = Field(
        10 * MIB, ge=KIB, description="Largest file kept in git itself; larger ones need LFS or Xet."
    )
    commit_body_limit_bytes: int = Field(
        4 * GIB, ge=MIB, description="Largest body of a commit made through the API."
    )
    lfs_part_bytes: int = Field(
        512 * MIB, ge=5 * MIB, description="Size of one part of a multipart LFS upload."
    )
    lfs_multipart_above_bytes: int = Field(
        5 * GIB, ge=MIB, description="LFS uploads above this size are sent in parts."
    )
    lfs_file_limit_bytes: int = Field(500 * GIB, ge=MIB, description="Largest single file.")
    lfs_to_xet: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether LFS uploads are turned into deduplicated chunks in the background; "
        "auto: yes, unless downloads go straight to the object store.",
    )
    lfs_to_xet_min_bytes: int = Field(MIB, ge=1, description="Smaller LFS uploads stay as they are.")
    lfs_to_xet_bytes_per_s: int = Field(
        32 * MIB, ge=0, description="How fast LFS uploads are converted; 0 means as fast as possible."
    )
    lfs_to_xet_free_bytes: int = Field(
        5 * GIB, ge=0, description="Conversion waits while less than this would stay free on the disk."
    )
    lfs_to_xet_undo_days: int = Field(
        30,
        ge=0,
        description="Days the plain object is kept: a conversion can be undone, and a backup of the "
        "database restored beside newer objects.",
    )
    default_quota_bytes: int = Field(0, ge=0, description="Storage each namespace may use; 0 means no limit.")
    hot_cache_bytes: int = Field(
        10 * GIB,
        ge=0,
        description="Room for raw copies of large files that were downloaded lately; 0 keeps none.",
    )
    gc_grace_days: int = Field(
        30, ge=22, description="Days an unreferenced object is kept; clients cache for 21 days."
    )

    rate_limits: bool = Field(True, description="Whether request rates are limited.")
    spam_limits: bool = Field(
        True, description="Whether posts of newcomers are limited and screened; needs `rate_limits`, too."
    )
    hidden_link_hosts: str = Field("", description="Hosts, with commas, that posts may not link to.")
    rate_api: int = Field(3000, ge=1, description="API requests per client in five minutes.")
    rate_resolve: int = Field(20000, ge=1, description="File requests per client in five minutes.")
    rate_pages: int = Field(2000, ge=1, description="Page requests per client in five minutes.")
    rate_signin: int = Field(30, ge=1, description="Sign-in attempts per client in five minutes.")

    worker_rest_s: float = Field(
        60.0,
        ge=0,
        description="Seconds without a change of the database (SQLite only) after which the worker gives its "
        "memory back and waits for the next one. 0: never.",
    )
    job_lease_s: float = Field(
        60.0, ge=5, description="Seconds after which a runner that is not heard of loses its job."
    )
    jobs_waiting: int = Field(
        2000, ge=1, description="Jobs that may wait at a time for one person or organisation."
    )
    jobs_running: int = Field(
        0, ge=0, description="Jobs that may run at a time for one person or organisation; 0: no limit."
    )
    jobs_network: bool = Field(
        True, description="Whether a job may ask for the network (label network=internet)."
    )

    demo: bool = Field(
        True,
        description="Whether benchmarks, a small model, texts and a welcome are made after the first start.",
    )

    runner: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether `llmos up` also runs jobs on this machine; auto: yes, unless the training "
        "side is left out by LLMOS_EXTRAS=hub.",
    )
    runner_slots: int = Field(
        0,
        ge=0,
        le=16,
        description="Jobs the built-in runner runs at a time; 0: one for each four cores, at most four.",
    )

    serve_on_demand: bool = Field(
        True,
        description="Whether people who are signed in may call any model they can read; it is then started "
        "at the first call. Otherwise only models with an endpoint answer.",
    )
    serve_idle_s: float = Field(
        900.0,
        ge=5,
        description="Seconds without a call after which a model is stopped, unless told otherwise.",
    )
    serve_engines: int = Field(
        4, ge=0, le=8, description="Models the built-in runner serves at a time, beside its jobs."
    )
    serve_memory_bytes: int = Field(
        0, ge=0, description="Memory for all models on one machine together; 0: 60 % of it."
    )
    serve_queue: int = Field(
        200, ge=1, description="Calls that may wait for one engine; further ones are refused (429)."
    )
    serve_start_s: float = Field(
        300.0, ge=5, description="Seconds a call waits for its model to start before it is given up."
    )

    session_days: int = Field(30, ge=1, description="Days a browser session lasts without use.")
    secure_cookies: Literal["auto", "always", "never"] = Field(
        "auto", description="Whether cookies demand https; auto follows the request's scheme."
    )
    smtp_url: str | None = Field(
        None, description="Mail server, smtp://user:password@host:587; without it mail is not sent."
    )
    mail_from: str = Field("llmos@localhost", description="Sender of mail.")
    webhook_allow_private: str = Field(
        "",
        description="Networks that webhooks may call although they are not public, for example "
        "10.0.0.0/8, 127.0.0.1/32; by default none.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Log level.")
    secret_key: str | None = Field(
        None, description="Key that signs links and short-lived tokens; generated when not set."
    )

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        home = Path(os.environ.get("LLMOS_HOME", "var")).expanduser()
        toml = TomlConfigSettingsSource(settings_cls, home / "llmos.toml")
        return init_settings, env_settings, toml

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.home / 'llmos.db'}"

    @property
    def git_root(self) -> Path:
        return self.home / "git"

    @property
    def object_root(self) -> Path:
        return self.home / "objects"

    @property
    def tmp_root(self) -> Path:
        return self.home / "tmp"


@lru_cache
def get_settings() -> Settings:
    """The settings of this process, read once; tests call `get_settings.cache_clear()`."""
    return Settings()


def settings_sources(settings: Settings) -> dict[str, tuple[Any, str]]:
    """Each field's value and where it came from: `environment`, `llmos.toml` or `default`."""
    toml_path = settings.home / "llmos.toml"
    in_toml: set[str] = set()
    if toml_path.exists():
        import tomllib

        in_toml = set(tomllib.loads(toml_path.read_text()))
    out: dict[str, tuple[Any, str]] = {}
    for name in type(settings).model_fields:
        source = "default"
        if f"LLMOS_{name.upper()}" in os.environ:
            source = "environment"
        elif name in in_toml:
            source = "llmos.toml"
        out[name] = (getattr(settings, name), source)
    return out
