// Azure DocumentDB (once Cosmos DB for MongoDB vCore): a MongoDB with TTL indexes on any field.
param name string
param location string
param tags object
param tier string
param highAvailability string
param storageGb int
param vaultName string
param appPrincipalId string
param workspaceId string

@description('True closes the cluster to everything but private endpoints.')
param privateOnly bool

@secure()
param administratorPassword string

var administrator = 'registrar'

resource cluster 'Microsoft.DocumentDB/mongoClusters@2025-09-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    administrator: {
      userName: administrator
      password: administratorPassword
    }
    serverVersion: '8.0'
    compute: { tier: tier }
    storage: { sizeGb: storageGb }
    sharding: { shardCount: 1 }
    highAvailability: { targetMode: highAvailability }
    publicNetworkAccess: privateOnly ? 'Disabled' : 'Enabled'
  }
}

// This range stands for all services in Azure: the addresses that the app sends from are not known beforehand.
resource azureServices 'Microsoft.DocumentDB/mongoClusters/firewallRules@2025-09-01' = if (!privateOnly) {
  parent: cluster
  name: 'AllowAzureServices'
  properties: {
    startIpAddress: '0.0.0.0'
    endIpAddress: '0.0.0.0'
  }
}

// Metrics only: the request logs quote commands, and those hold device tokens.
resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'acs-call-push'
  scope: cluster
  properties: {
    workspaceId: workspaceId
    metrics: [
      {
        category: 'AllMetrics'
        enabled: true
      }
    ]
  }
}

// The cluster names its address; user and password stand there as placeholders.
var withUser = replace(cluster.properties.connectionString, '<user>', administrator)

module password 'secret.bicep' = {
  name: 'database-password'
  params: {
    vaultName: vaultName
    name: 'mongodb-administrator-password'
    value: administratorPassword
  }
}

module connectionString 'secret.bicep' = {
  name: 'database-connection-string'
  params: {
    vaultName: vaultName
    name: 'mongodb-connection-string'
    value: replace(withUser, '<password>', uriComponent(administratorPassword))
    readerPrincipalId: appPrincipalId
  }
}
