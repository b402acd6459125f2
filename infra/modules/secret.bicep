// One secret in an existing vault, and the right of the app to read it.
param vaultName string
param name string

@secure()
param value string

@description('Principal that reads this secret and no other; empty for none.')
param readerPrincipalId string = ''

var secretsUser = '4633458b-17de-408a-b874-0445c86b69e6' // Key Vault Secrets User: reads secrets

resource vault 'Microsoft.KeyVault/vaults@2025-05-01' existing = {
  name: vaultName
}

resource secret 'Microsoft.KeyVault/vaults/secrets@2025-05-01' = {
  // checkov:skip=CKV_AZURE_41: holds until its key or password is changed by hand, docs/security.md
  parent: vault
  name: name
  properties: {
    value: value
    contentType: 'text/plain'
  }
}

resource reader 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(readerPrincipalId)) {
  name: guid(secret.id, readerPrincipalId, secretsUser)
  scope: secret
  properties: {
    principalId: readerPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsUser)
  }
}
