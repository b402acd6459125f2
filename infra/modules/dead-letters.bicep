// Events that Event Grid could not deliver, in a storage account of their own: the Functions host owns every blob of
// the account behind AzureWebJobsStorage, and the app must not read call contexts and names of callers.
param name string
param location string
param tags object

@description('True admits only Event Grid and other trusted services of Microsoft, not addresses on the internet.')
param trustedServicesOnly bool

@minValue(1)
@description('How long dead letters are kept, in days.')
param retentionDays int = 7

var containerName = 'dead-letters'

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  // checkov:skip=CKV_AZURE_35: closed where trustedServicesOnly is set; elsewhere identities keep others out
  // checkov:skip=CKV_AZURE_206: evidence for a few days; a copy in another region is not needed
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: 'Standard_LRS' }
  properties: {
    allowBlobPublicAccess: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    networkAcls: {
      // Event Grid writes by the topic's identity, which counts as a trusted service.
      bypass: 'AzureServices'
      defaultAction: trustedServicesOnly ? 'Deny' : 'Allow'
    }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' = {
  parent: account
  name: 'default'
  properties: {
    deleteRetentionPolicy: {
      enabled: true
      days: 7
    }
  }
}

resource container 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = {
  parent: blobs
  name: containerName
  properties: { publicAccess: 'None' }
}

resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2025-06-01' = {
  parent: account
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          name: 'delete-dead-letters'
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: ['blockBlob']
              prefixMatch: ['${containerName}/']
            }
            actions: {
              baseBlob: {
                delete: { daysAfterModificationGreaterThan: retentionDays }
              }
            }
          }
        }
      ]
    }
  }
}

output id string = account.id
output container string = container.name
