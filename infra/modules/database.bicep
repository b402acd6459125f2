// Azure DocumentDB (once Cosmos DB for MongoDB vCore): a MongoDB with TTL indexes on any field.
param name string
param location string
param tags object
param vaultName string

@secure()
param administratorPassword string

@description('M30 is the smallest tier with high availability; M10 does for trying out.')
param tier string = 'M30'

@allowed(['Disabled', 'SameZone', 'ZoneRedundantPreferred'])
param highAvailability string = 'ZoneRedundantPreferred'

@minValue(32)
param storageGb int = 32

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
    publicNetworkAccess: 'Enabled'
  }
}

// This range stands for "services in Azure": the app's outgoing addresses are not known beforehand. A virtual
// network with a private endpoint is the stricter way; docs/deployment.md says what it takes.
resource azureServices 'Microsoft.DocumentDB/mongoClusters/firewallRules@2025-09-01' = {
  parent: cluster
  name: 'AllowAzureServices'
  properties: {
    startIpAddress: '0.0.0.0'
    endIpAddress: '0.0.0.0'
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
  }
}
