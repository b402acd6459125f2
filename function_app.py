"""The function app: registers every function.

AddDeviceToken            POST      /api/add_device_token               registrar/routes.py
GetDeviceRegistrations    GET       /api/get_device_registrations       registrar/routes.py
DeleteDeviceRegistration  DELETE    /api/delete_device_registration     registrar/routes.py
DeleteUserRegistrations   DELETE    /api/delete_user_registrations      registrar/routes.py
ReportCall                POST      /api/report_call                    registrar/routes.py
IncomingCallEventHandler  Event Grid                                    push/trigger.py
ForgetDeadDevices         timer (FeedbackSchedule)                      push/dead_devices_timer.py
HealthLive, HealthReady   GET, HEAD /api/health/live, /api/health/ready health/routes.py
"""

import gc
import os

import azure.functions as func

from app import App
from health.routes import health_blueprint
from push.dead_devices_timer import dead_devices_blueprint
from push.trigger import push_blueprint
from registrar.routes import registrar_blueprint, reports_blueprint

parts = App(os.environ)

# The host asks for a function key unless the registrar checks bearer tokens itself.
anonymous = parts.access.is_anonymous_to_the_host
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS if anonymous else func.AuthLevel.FUNCTION)
app.register_functions(registrar_blueprint(lambda: parts.registrar, lambda: parts.tracer))
app.register_functions(reports_blueprint(lambda: parts.reports, lambda: parts.tracer))
app.register_functions(
    push_blueprint(lambda: parts.event_handler, parts.settings_grace, lambda: parts.tracer)
)
if parts.feedback_schedule is not None:
    app.register_functions(
        dead_devices_blueprint(parts.feedback_schedule, lambda: parts.dead_devices, lambda: parts.tracer)
    )
app.register_functions(health_blueprint(lambda: parts.readiness))

# What has been imported lives as long as the process. Looking through it for garbage takes 14 ms, for which
# every call would have to wait.
gc.freeze()
