// The right to send through a hub, and no other, as a policy of the app's own; both its keys into the vault.
param namespaceName string
param hubName string

@description('Of the connection string in the vault; the one with the other key ends in -secondary.')
param entryName string
param vaultName string
param vaultGroup string
param appPrincipalId string
param workspaceId string

resource namespace 'Microsoft.NotificationHubs/namespaces@2023-09-01' existing = {
  name: namespaceName
}

resource hub 'Microsoft.NotificationHubs/namespaces/notificationHubs@2023-09-01' existing = {
  parent: namespace
  name: hubName
}

resource sendOnly 'Microsoft.NotificationHubs/namespaces/notificationHubs/authorizationRules@2023-09-01' = {
  parent: hub
  name: 'acs-call-push-send'
  properties: {
    rights: ['Send']
  }
}

module primary 'secret.bicep' = {
  name: entryName
  scope: resourceGroup(vaultGroup)
  params: {
    vaultName: vaultName
    name: entryName
    value: sendOnly.listKeys().primaryConnectionString
    readerPrincipalId: appPrincipalId
  }
}

module secondary 'secret.bicep' = {
  name: '${entryName}-secondary'
  scope: resourceGroup(vaultGroup)
  params: {
    vaultName: vaultName
    name: '${entryName}-secondary'
    value: sendOnly.listKeys().secondaryConnectionString
    readerPrincipalId: appPrincipalId
  }
}

// Operations on the hub and its metrics for each platform. Neither holds device tokens.
resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'acs-call-push'
  scope: hub
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'OperationalLogs'
        enabled: true
      }
    ]
    metrics: [
      {
        category: 'AllMetrics'
        enabled: true
      }
    ]
  }
}
