#!/bin/sh
# After provisioning: from now on the notification hub is left alone, so that provisioning again cannot take
# away the credentials of APNs, FCM v1 and WNS that are entered into it by hand.
set -eu

if [ "${CREATE_NOTIFICATION_HUB:-true}" = "true" ]; then
  azd env set CREATE_NOTIFICATION_HUB false
  echo "The notification hub in namespace ${NOTIFICATION_HUB_NAMESPACE:-(see the portal)} is there. Enter the"
  echo "credentials of the push services now: docs/deployment.md, \"Credentials of the push services\"."
fi
