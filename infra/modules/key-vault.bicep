// The app's secrets. Roles, not access policies, say who may read them.
param name string
param location string
param tags object
param appPrincipalId string

@description('Who deploys; empty if that is nobody in particular.')
param deployerPrincipalId string

var secretsUser = '4633458b-17de-408a-b874-0445c86b69e6' // Key Vault Secrets User: reads secrets
// An empty principal is left out; azd leaves the type of the deployer open, so its assignment does too.
var deployers = empty(deployerPrincipalId) ? [] : [deployerPrincipalId]

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' = {
  // checkov:skip=CKV_AZURE_109: the app's outgoing addresses are not known beforehand; roles keep others out
  // checkov:skip=CKV_AZURE_189: the app reaches it over its public endpoint; roles keep others out
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: subscription().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    // Cannot be taken back: a vault that was deleted keeps its name for these days.
    softDeleteRetentionInDays: 7
    enablePurgeProtection: true
    publicNetworkAccess: 'Enabled'
  }
}

resource appRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, appPrincipalId, secretsUser)
  scope: vault
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsUser)
  }
}

resource deployerRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for id in deployers: {
  name: guid(vault.id, id, secretsUser)
  scope: vault
  properties: {
    principalId: id
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsUser)
  }
}]

output name string = vault.name
output uri string = vault.properties.vaultUri
