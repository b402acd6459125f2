// One secret in an existing vault.
param vaultName string
param name string

@secure()
param value string

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' existing = {
  name: vaultName
}

resource secret 'Microsoft.KeyVault/vaults/secrets@2023-07-01' = {
  // checkov:skip=CKV_AZURE_41: holds until its key or password is changed by hand, docs/security.md
  parent: vault
  name: name
  properties: {
    value: value
    contentType: 'text/plain'
  }
}
