// Azure DocumentDB (once Cosmos DB for MongoDB vCore): a MongoDB with TTL indexes on any field.
param name string
param location string
param tags object
param tier string
param highAvailability string
param storageGb int
param vaultName string
param appPrincipalId string

@description('identity: the app becomes a user of the cluster. password: it gets the connection string by the vault.')
param appSignIn string

@description('readWrite on the database of the app, or root on all.')
param appRole string

param databaseName string
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
    // The administrator stays for emergencies; its password is in the vault, where the app cannot read it.
    authConfig: { allowedModes: ['NativeAuth', 'MicrosoftEntraID'] }
    serverVersion: '8.0'
    compute: { tier: tier }
    storage: { sizeGb: storageGb }
    sharding: { shardCount: 1 }
    highAvailability: { targetMode: highAvailability }
    publicNetworkAccess: privateOnly ? 'Disabled' : 'Enabled'
  }
}

// A user of the cluster is named after the principal (object) id of its identity.
resource app 'Microsoft.DocumentDB/mongoClusters/users@2025-09-01' = if (appSignIn == 'identity') {
  parent: cluster
  name: appPrincipalId
  properties: {
    identityProvider: {
      type: 'MicrosoftEntraID'
      properties: { principalType: 'servicePrincipal' }
    }
    roles: [
      {
        db: appRole == 'root' ? 'admin' : databaseName
        role: appRole
      }
    ]
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
var template = cluster.properties.connectionString
var withUser = replace(template, '<user>', administrator)

module password 'secret.bicep' = {
  name: 'database-password'
  params: {
    vaultName: vaultName
    name: 'mongodb-administrator-password'
    value: administratorPassword
  }
}

module connectionString 'secret.bicep' = if (appSignIn == 'password') {
  name: 'database-connection-string'
  params: {
    vaultName: vaultName
    name: 'mongodb-connection-string'
    value: replace(withUser, '<password>', uriComponent(administratorPassword))
    readerPrincipalId: appPrincipalId
  }
}

output host string = split(split(template, '@')[1], '/')[0]
