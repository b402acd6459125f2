// Subscribes the function to incoming calls. infra/scripts/postdeploy.py deploys it into the resource group of the
// system topic when the function is there. Deploying it again changes nothing.
param communicationServiceId string
param systemTopicName string

@description('A Communication Services resource has one system topic at most; an existing one is used as it is.')
param createSystemTopic bool

param subscriptionName string

@description('Resource id of the function app.')
param functionAppId string

@description('False where the system topic takes no identity; nothing is then dead-lettered.')
param deadLetters bool = true

@description('Resource id of the storage account with the container for dead letters.')
param storageAccountId string

param deadLetterContainer string

@description('Resource id of the workspace that takes the log of failed deliveries; empty for none.')
param workspaceId string = ''

@description('Resource id of the action group that is told about dead letters; empty for none.')
param actionGroupId string = ''

@description('True takes the ends of calls as well: stop pushes and missed calls need them.')
param callEnds bool = false

@minValue(1)
@maxValue(30)
@description('Deliveries of one event: the first, after 10 s, after another 30 s. A phone rings for a minute.')
param maxDeliveryAttempts int = 3

@minValue(1)
@maxValue(1440)
@description('An event older than this many minutes goes to the dead letters; its call is long over.')
param eventTimeToLiveInMinutes int = 5

var calls = ['Microsoft.Communication.IncomingCall']
var callsAndEnds = [
  'Microsoft.Communication.IncomingCall'
  'Microsoft.Communication.CallEnded'
  'Microsoft.Communication.CallParticipantAdded'
]
var deadLettersByIdentity = {
  identity: { type: 'SystemAssigned' }
  deadLetterDestination: {
    endpointType: 'StorageBlob'
    properties: {
      resourceId: storageAccountId
      blobContainerName: deadLetterContainer
    }
  }
}
var alertedMetrics = ['DeadLetteredCount', 'DroppedEventCount']

resource newTopic 'Microsoft.EventGrid/systemTopics@2025-02-15' = if (createSystemTopic) {
  name: systemTopicName
  location: 'global'
  identity: { type: deadLetters ? 'SystemAssigned' : 'None' }
  properties: {
    source: communicationServiceId
    topicType: 'Microsoft.Communication.CommunicationServices'
  }
}

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: systemTopicName
}

module deadLetterAccess 'modules/dead-letter-access.bicep' = if (deadLetters) {
  name: 'dead-letter-access'
  scope: resourceGroup(split(storageAccountId, '/')[2], split(storageAccountId, '/')[4])
  params: {
    storageName: last(split(storageAccountId, '/'))
    container: deadLetterContainer
    // Read although the condition is false, and a topic without an identity has no such property.
    principalId: deadLetters ? topic.identity.principalId : ''
  }
  dependsOn: [newTopic]
}

resource incomingCalls 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = {
  parent: topic
  name: subscriptionName
  properties: {
    eventDeliverySchema: 'EventGridSchema'
    filter: {
      includedEventTypes: callEnds ? callsAndEnds : calls
    }
    destination: {
      endpointType: 'AzureFunction'
      properties: {
        resourceId: '${functionAppId}/functions/IncomingCallEventHandler'
        // One event a delivery: a batch would be delivered again whole if one of its events failed.
        maxEventsPerBatch: 1
      }
    }
    retryPolicy: {
      maxDeliveryAttempts: maxDeliveryAttempts
      eventTimeToLiveInMinutes: eventTimeToLiveInMinutes
    }
    deadLetterWithResourceIdentity: deadLetters ? deadLettersByIdentity : null
  }
  dependsOn: [newTopic, deadLetterAccess]
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (!empty(workspaceId)) {
  name: 'acs-call-push'
  scope: topic
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'DeliveryFailures'
        enabled: true
      }
    ]
  }
  dependsOn: [newTopic]
}

resource alerts 'Microsoft.Insights/metricAlerts@2026-01-01' = [
  for metric in alertedMetrics: {
    name: '${subscriptionName}-${toLower(metric)}'
    location: 'global'
    properties: {
      description: 'Calls that the app could not take. Runbook: docs/operations.md, dead-letters.'
      enabled: true
      severity: 1
      scopes: [topic.id]
      evaluationFrequency: 'PT5M'
      windowSize: 'PT5M'
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            name: metric
            criterionType: 'StaticThresholdCriterion'
            metricNamespace: 'Microsoft.EventGrid/systemTopics'
            metricName: metric
            timeAggregation: 'Total'
            operator: 'GreaterThan'
            threshold: 0
            dimensions: [
              {
                name: 'EventSubscriptionName'
                operator: 'Include'
                values: [subscriptionName]
              }
            ]
          }
        ]
      }
      actions: empty(actionGroupId) ? [] : [{ actionGroupId: actionGroupId }]
    }
    dependsOn: [incomingCalls]
  }
]
