# A hub for two people; `test_hub` sets the environment that this reads.
import os

home = os.environ["HUB_HOME"]
port = int(os.environ["HUB_PORT"])
c = get_config()  # type: ignore[name-defined]  # noqa: F821
c.JupyterHub.bind_url = f"http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{os.environ['HUB_API_PORT']}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{os.environ['HUB_PROXY_PORT']}"
c.ConfigurableHTTPProxy.pid_file = f"{home}/proxy.pid"
c.JupyterHub.cookie_secret_file = f"{home}/cookie_secret"
c.JupyterHub.db_url = f"sqlite:///{home}/hub.sqlite"
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = "the-hubs-password"
c.Authenticator.allowed_users = {"ada", "bob"}
# It runs every server as the hub's own user, each in a home of its own.
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = f"{home}/{{username}}"
c.Spawner.args = ["--allow-root"]
c.Spawner.env_keep = ["PATH", "LANG", "VIRTUAL_ENV"]
c.Spawner.environment = {"SHELL": "/bin/bash"}
c.Spawner.start_timeout = 90
c.Spawner.http_timeout = 90
c.JupyterHub.cleanup_servers = True
