"""The function app: wiring only."""

import os

import azure.functions as func

from clients import Clients
from push.trigger import push_blueprint
from registrar.routes import registrar_blueprint

clients = Clients(os.environ)

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
app.register_functions(registrar_blueprint(clients.registrar))
app.register_functions(push_blueprint(clients.incoming_call_handler))
