#!/bin/sh
# After deploying: subscribes the function to incoming calls. Safe to run again: azd hooks run postdeploy
#
# azd passes its environment. It needs AZURE_ENV_NAME, AZURE_RESOURCE_GROUP, AZURE_SUBSCRIPTION_ID,
# AZURE_FUNCTION_APP_NAME, AZURE_FUNCTION_APP_ID, AZURE_STORAGE_ACCOUNT_ID, DEAD_LETTER_CONTAINER and
# COMMUNICATION_SERVICE_ID. It may have:
#   EVENT_SUBSCRIPTION       no: subscribe to nothing yet (see docs/migration.md)
#   EVENT_SUBSCRIPTION_NAME  of a subscription to take over; its events then come here instead
#   ACTION_GROUP_ID          who is told about dead letters
#   WAIT_ATTEMPTS, WAIT_SECONDS  how long to wait for the function: 60 times 10 seconds
set -eu
cd "$(dirname "$0")/../.."

function_name=IncomingCallEventHandler
attempts=${WAIT_ATTEMPTS:-60}
seconds=${WAIT_SECONDS:-10}

say() { echo "postdeploy: $*"; }
fail() {
  echo "postdeploy: $*" >&2
  exit 1
}
lower() { printf '%s' "$1" | tr '[:upper:]' '[:lower:]'; }

# Whether the host has indexed the function and the Event Grid extension has made its key. The key itself goes
# nowhere: Event Grid looks it up.
is_ready() {
  found=$(az functionapp function show --subscription "$AZURE_SUBSCRIPTION_ID" \
    --resource-group "$AZURE_RESOURCE_GROUP" --name "$AZURE_FUNCTION_APP_NAME" \
    --function-name "$function_name" --query name --output tsv 2>/dev/null) || return 1
  [ -n "$found" ] || return 1
  key=$(az functionapp keys list --subscription "$AZURE_SUBSCRIPTION_ID" \
    --resource-group "$AZURE_RESOURCE_GROUP" --name "$AZURE_FUNCTION_APP_NAME" \
    --query "systemKeys.eventgrid_extension" --output tsv 2>/dev/null) || return 1
  [ -n "$key" ]
}

wait_for_function() {
  left=$attempts
  until is_ready; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || fail "the function $function_name has not appeared in $AZURE_FUNCTION_APP_NAME." \
      "Look at the app's log stream, then run: azd hooks run postdeploy"
    say "waiting for $function_name ..."
    sleep "$seconds"
  done
}

# Sets topic_group, topic_name and topic_identity where the resource has a system topic already.
find_topic() {
  topics=$(az eventgrid system-topic list --subscription "$acs_subscription" \
    --query "[].[source, resourceGroup, name, identity.type || 'None']" --output tsv)
  wanted=$(lower "$COMMUNICATION_SERVICE_ID")
  topic_name=
  tab=$(printf '\t')
  while IFS="$tab" read -r source group name identity; do
    if [ "$(lower "$source")" = "$wanted" ]; then
      topic_group=$group topic_name=$name topic_identity=$identity
    fi
  done <<TOPICS
$topics
TOPICS
}

# Dead letters are written by the topic's own identity.
give_identity() {
  case $topic_identity in
    *SystemAssigned*) ;;
    None)
      say "giving the system topic $topic_name an identity"
      az rest --method patch --output none --body '{"identity": {"type": "SystemAssigned"}}' --url \
        "/subscriptions/$acs_subscription/resourceGroups/$topic_group/providers/Microsoft.EventGrid/systemTopics/$topic_name?api-version=2025-02-15"
      ;;
    *) fail "the system topic $topic_name has an identity of the kind $topic_identity only. Turn its" \
      "system-assigned identity on (portal: Identity), then run: azd hooks run postdeploy" ;;
  esac
}

# The others that incoming calls go to: a phone that is registered with both rings twice.
warn_of_others() {
  others=$(az eventgrid system-topic event-subscription list --subscription "$acs_subscription" \
    --resource-group "$topic_group" --system-topic-name "$topic_name" \
    --query "[?name != '$subscription_name' && contains(filter.includedEventTypes || \`[]\`, 'Microsoft.Communication.IncomingCall')].name" \
    --output tsv)
  [ -z "$others" ] || for other in $others; do
    say "WARNING: incoming calls go to the subscription $other as well. If it rings phones too, they may ring" \
      "twice: docs/migration.md says how to switch over."
  done
}

subscribe() {
  az deployment group create --subscription "$acs_subscription" --resource-group "$topic_group" \
    --name "acs-call-push-$subscription_name" --template-file infra/events.bicep --output none --parameters \
    communicationServiceId="$COMMUNICATION_SERVICE_ID" \
    systemTopicName="$topic_name" \
    createSystemTopic="$create_topic" \
    subscriptionName="$subscription_name" \
    functionAppId="$AZURE_FUNCTION_APP_ID" \
    storageAccountId="$AZURE_STORAGE_ACCOUNT_ID" \
    deadLetterContainer="$DEAD_LETTER_CONTAINER" \
    actionGroupId="${ACTION_GROUP_ID:-}"
}

for name in AZURE_ENV_NAME AZURE_RESOURCE_GROUP AZURE_SUBSCRIPTION_ID AZURE_FUNCTION_APP_NAME \
  AZURE_FUNCTION_APP_ID AZURE_STORAGE_ACCOUNT_ID DEAD_LETTER_CONTAINER COMMUNICATION_SERVICE_ID; do
  eval "value=\${$name:-}"
  [ -n "${value:-}" ] || fail "$name is not set. Run this through azd: azd hooks run postdeploy"
done
if [ "${EVENT_SUBSCRIPTION:-yes}" = "no" ]; then
  say "EVENT_SUBSCRIPTION is no: no call comes here yet"
  exit 0
fi
command -v az >/dev/null 2>&1 || fail "the Azure CLI (az) is needed: https://aka.ms/azure-cli"

case $COMMUNICATION_SERVICE_ID in
  /*/*/*/*/*/*/*/*) ;;
  *) fail "COMMUNICATION_SERVICE_ID is no resource id; the portal shows it under JSON View" ;;
esac
# /subscriptions/ID/resourceGroups/GROUP/providers/Microsoft.Communication/communicationServices/NAME
acs_subscription=$(printf '%s' "$COMMUNICATION_SERVICE_ID" | cut -d/ -f3)
acs_group=$(printf '%s' "$COMMUNICATION_SERVICE_ID" | cut -d/ -f5)
acs_name=$(printf '%s' "$COMMUNICATION_SERVICE_ID" | cut -d/ -f9)
subscription_name=${EVENT_SUBSCRIPTION_NAME:-"ring-$AZURE_ENV_NAME"}

wait_for_function
find_topic
if [ -n "$topic_name" ]; then
  say "using the system topic $topic_name that is there"
  create_topic=false
  give_identity
  warn_of_others
else
  topic_group=$acs_group topic_name=$acs_name-events create_topic=true
  say "making the system topic $topic_name"
fi

# A role takes a while to be known everywhere; until then Event Grid may refuse the container.
tries=3
until subscribe; do
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || fail "Event Grid does not take the subscription; what it says stands above"
  say "trying again ..."
  sleep "$seconds"
done
say "calls to $acs_name ring now: subscription $subscription_name on $topic_name"
