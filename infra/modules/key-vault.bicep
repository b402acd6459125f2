// The app's secrets. The app reads single secrets by roles that secret.bicep assigns; no role is on the whole vault.
param name string
param location string
param tags object
param recover bool
param workspaceId string

resource vault 'Microsoft.KeyVault/vaults@2025-05-01' = {
  // checkov:skip=CKV_AZURE_109: Key Vault references of this plan do not reach a vault that is closed to the network
  // checkov:skip=CKV_AZURE_189: Key Vault references of this plan do not reach a vault that is closed to the network
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: subscription().tenantId
    createMode: recover ? 'recover' : 'default'
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    // Cannot be undone: the name of a deleted vault stays taken for these days.
    softDeleteRetentionInDays: 7
    enablePurgeProtection: true
    // A later deployment reads the database password from here instead of making a new one.
    enabledForTemplateDeployment: true
    publicNetworkAccess: 'Enabled'
  }
}

resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'acs-call-push'
  scope: vault
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'AuditEvent'
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

output name string = vault.name
output uri string = vault.properties.vaultUri
