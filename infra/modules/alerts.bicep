// Alerts on the structured lines that the app writes. Each has its runbook in docs/operations.md; the queries
// are files of their own, so that they can be run as they are. Dead letters: see events.bicep.
param location string
param tags object
param workspaceId string

@description('Empty: alerts show in the portal only.')
param email string

@description('Pushes that may fail within a quarter of an hour without an alert.')
param failedPushes int = 5

var rules = [
  {
    name: 'missed-calls'
    description: 'Calls stopped ringing, or were given up, before all devices rang.'
    query: loadTextContent('../alerts/missed-calls.kql')
    severity: 1
    window: 'PT5M'
    threshold: 0
  }
  {
    name: 'failed-events'
    description: 'Events failed: the database is down, an event cannot be understood, or there is a bug.'
    query: loadTextContent('../alerts/failed-events.kql')
    severity: 1
    window: 'PT5M'
    threshold: 0
  }
  {
    name: 'failed-pushes'
    description: 'The notification hub refuses pushes or does not answer.'
    query: loadTextContent('../alerts/failed-pushes.kql')
    severity: 2
    window: 'PT15M'
    threshold: failedPushes
  }
  {
    name: 'misconfiguration'
    description: 'A setting, a key or the database is wrong; no redelivery corrects that.'
    query: loadTextContent('../alerts/misconfiguration.kql')
    severity: 0
    window: 'PT5M'
    threshold: 0
  }
  {
    name: 'slow-calls'
    description: 'More calls than the objective allows have no push within 2 s of their event.'
    query: loadTextContent('../alerts/slow-calls.kql')
    severity: 1
    window: 'PT6H'
    threshold: 0
  }
]

resource actionGroup 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(email)) {
  name: 'acs-call-push'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'callpush'
    enabled: true
    emailReceivers: [
      {
        name: 'operator'
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
  }
}

resource alerts 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [
  for rule in rules: {
    name: 'acs-call-push-${rule.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: 'acs-call-push: ${rule.name}'
      description: '${rule.description} Runbook: docs/operations.md, ${rule.name}.'
      enabled: true
      severity: rule.severity
      scopes: [workspaceId]
      evaluationFrequency: 'PT5M'
      windowSize: rule.window
      // The tables have no line yet when this is deployed for the first time.
      skipQueryValidation: true
      autoMitigate: true
      criteria: {
        allOf: [
          {
            query: rule.query
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: rule.threshold
            failingPeriods: {
              minFailingPeriodsToAlert: 1
              numberOfEvaluationPeriods: 1
            }
          }
        ]
      }
      actions: {
        actionGroups: empty(email) ? [] : [actionGroup.id]
      }
    }
  }
]

output actionGroupId string = empty(email) ? '' : actionGroup.id
